import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from tzx.runtime.metrics.entropy import LogLoss, NormalizedEntropy


def measured(probs, labels, eta=1e-12):
    metric = NormalizedEntropy(eta, "probs")
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.update({"probs": torch.tensor(probs[part])}, torch.tensor(labels[part]), None)
    return float(metric.compute())


def test_log_loss_over_that_of_the_base_rate():
    rng = np.random.default_rng(0)
    probs = rng.beta(1, 5, 700)
    labels = (rng.random(700) < probs).astype(np.int64)
    base = log_loss(labels, np.full(700, labels.mean()))
    assert measured(probs, labels) == pytest.approx(log_loss(labels, probs) / base, rel=1e-9)
    assert measured(np.full(700, labels.mean()), labels) == pytest.approx(1)


def test_eta_bounds_what_a_sure_mistake_costs():
    probs, labels = np.array([1.0, 0.0, 1.0, 1.0]), np.array([1, 0, 0, 1])
    assert measured(probs, labels, 0.01) == pytest.approx(-(np.log(0.01) + 3 * np.log(0.99)) / 4 / np.log(2), rel=1e-9)
    assert np.isfinite(measured(probs, labels))


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], []])
def test_one_class_has_no_entropy(labels):
    assert np.isnan(measured(np.full(len(labels), 0.5), np.array(labels)))


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_log_loss_is_scikit_learns(classes):
    rng = np.random.default_rng(classes)
    probs = rng.dirichlet(np.ones(max(classes, 2)), 300)
    labels = rng.integers(0, max(classes, 2), 300)
    metric = LogLoss(1e-12, "probs")
    for part in np.array_split(np.arange(300), 4):
        given = probs[part] if classes > 1 else probs[part, 1]
        metric.update({"probs": torch.tensor(given)}, torch.tensor(labels[part]), None)
    assert float(metric.compute()) == pytest.approx(log_loss(labels, probs, labels=range(max(classes, 2))), rel=1e-9)


def test_a_sure_mistake_costs_log_loss_no_more_than_eta_says():
    metric = LogLoss(1e-3, "probs")
    metric.update({"probs": torch.tensor([0.0, 1.0])}, torch.tensor([1, 1]), None)
    assert float(metric.compute()) == pytest.approx(-(np.log(1e-3) + np.log(1 - 1e-3)) / 2)
