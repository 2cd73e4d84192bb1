import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tzx.runtime.metrics.auc import AUC, LEAST_BINS, bins_of


def measured(probs, labels, pieces=1, metric=None):
    metric = metric or AUC(200, "probs")
    for part in np.array_split(np.arange(len(probs)), pieces):
        metric.update({"probs": torch.tensor(probs[part])}, torch.tensor(labels[part]), None)
    return float(metric.compute())


@pytest.mark.parametrize(
    ("mean", "deviation", "rows"),
    [
        pytest.param(0.2, 1.1, 10_000, id="ratings"),
        pytest.param(-1.3, 1.2, 200_000, id="criteo-like"),
        pytest.param(-4.6, 1.0, 200_000, id="one percent"),
        pytest.param(-7.0, 1.0, 500_000, id="a tenth of a percent"),
        pytest.param(-3.0, 0.05, 200_000, id="all predictions nearly equal"),
        pytest.param(9.0, 2.0, 200_000, id="nearly all positive"),
    ],
)
def test_stays_within_1e_4_of_the_exact_value(mean, deviation, rows):
    rng = np.random.default_rng(0)
    logits = rng.normal(mean, deviation, rows)
    probs = (1 / (1 + np.exp(-logits))).astype(np.float32)
    labels = (rng.random(rows) < probs).astype(np.int64)
    assert measured(probs, labels, pieces=7) == pytest.approx(roc_auc_score(labels, probs), abs=1e-4)


def test_ties_count_half_exactly():
    rng = np.random.default_rng(1)
    probs = rng.choice(np.array([0.0, 0.1, 0.5, 0.500001, 1.0], dtype=np.float32), 1000)
    labels = rng.integers(0, 2, 1000)
    coarse = np.where(probs > 0.5, np.where(probs < 1, 0.5, 1.0), probs)  # 0.5 and 0.500001 share a bin
    assert measured(probs, labels) == pytest.approx(roc_auc_score(labels, coarse), abs=1e-12)


def test_float_labels_and_reset():
    metric = AUC(200, "probs")
    probs, labels = np.array([0.1, 0.9], dtype=np.float32), np.array([0.0, 1.0], dtype=np.float32)
    assert measured(probs, labels, metric=metric) == 1.0
    assert measured(probs, 1 - labels, metric=metric) == 0.5
    metric.reset()
    assert measured(probs, 1 - labels, metric=metric) == 0.0


def test_one_class_only_or_nothing_is_nan():
    probs = np.array([0.1, 0.9], dtype=np.float32)
    assert np.isnan(measured(probs, np.array([1, 1])))
    assert np.isnan(float(AUC(200, "probs").compute()))


def test_a_nan_prediction_is_not_hidden():
    assert np.isnan(measured(np.array([0.1, np.nan, 0.9], dtype=np.float32), np.array([0, 1, 1])))


def test_more_thresholds_than_the_least_are_honoured():
    assert AUC(LEAST_BINS * 2, "probs").bins == LEAST_BINS * 2
    assert AUC(200, "probs").bins == LEAST_BINS


def test_bins_grow_with_the_probability_and_hold_the_extremes():
    probs = torch.tensor([0.0, 1e-30, 1e-6, 0.3, 0.5, 0.7, 1 - 1e-6, 1.0])
    bins = bins_of(probs, 1000)
    assert bins.tolist() == sorted(bins.tolist())
    assert bins[0] == 0 and bins[-1] == 999 and bins[4] == 500
    assert bins_of(torch.tensor([torch.nan]), 1000).item() == 1000
