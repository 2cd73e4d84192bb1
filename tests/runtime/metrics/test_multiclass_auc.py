import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tzx.runtime.metrics.multiclass_auc import FEWEST_BINS, MulticlassAUC


def rows(count, classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, count, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    logits = rng.normal(size=(count, classes)) + 0.8 * np.eye(classes)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probs.astype(np.float32), labels


def measured(probs, labels, average, batch=300):
    metric = MulticlassAUC(200, probs.shape[1], average)
    for at in range(0, len(labels), batch):
        part = slice(at, at + batch)
        metric.update({"probs": torch.tensor(probs[part])}, torch.tensor(labels[part]), None)
    return float(metric.compute())


@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("classes", [2, 5])
def test_equals_one_against_rest(average, classes):
    probs, labels = rows(2000, classes)
    binary = [roc_auc_score(labels == c, probs[:, c]) for c in range(classes)]
    weights = np.bincount(labels) if average == "weighted" else None
    assert measured(probs, labels, average) == pytest.approx(np.average(binary, weights=weights), abs=1e-4)


def test_classes_without_rows_are_left_out():
    probs, labels = rows(500, 4)
    labels = np.where(labels == 2, 3, labels)
    expected = np.mean([roc_auc_score(labels == c, probs[:, c]) for c in (0, 1, 3)])
    assert measured(probs, labels, "macro") == pytest.approx(expected, abs=1e-4)


def test_without_two_classes_or_with_nan_there_is_no_value():
    probs, labels = rows(50, 3)
    assert np.isnan(measured(probs, np.zeros(50, int), "macro"))
    probs[7, 1] = np.nan
    assert np.isnan(measured(probs, labels, "weighted"))


def test_many_classes_fit_in_memory():
    metric = MulticlassAUC(200, 10_000, "macro")
    assert metric.bins == FEWEST_BINS
    assert MulticlassAUC(70_000, 3, "macro").bins == 70_000
