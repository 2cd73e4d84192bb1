import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error, top_k_accuracy_score

from tzx.runtime.metrics import MeanOf
from tzx.runtime.metrics.pointwise import BinaryAccuracy, MeanAbsoluteError, MeanSquaredError, TopKAccuracy


def measured(metric, name, predictions, labels):
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.update({name: torch.tensor(predictions[part])}, torch.tensor(labels[part]), None)
    return float(metric.compute())


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_errors_match_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    y, labels = rng.normal(size=100).astype(np.float32), rng.integers(-3, 4, 100).astype(dtype)
    assert measured(MeanAbsoluteError(), "y", y, labels) == pytest.approx(mean_absolute_error(labels, y))
    assert measured(MeanSquaredError(), "y", y, labels) == pytest.approx(mean_squared_error(labels, y))


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_binary_accuracy(threshold):
    rng = np.random.default_rng(1)
    probs, labels = rng.random(100).astype(np.float32), rng.integers(0, 2, 100)
    expected = accuracy_score(labels, probs > threshold)
    assert measured(BinaryAccuracy(threshold), "probs", probs, labels) == pytest.approx(expected)


@pytest.mark.parametrize("top_k", [1, 2])
def test_top_k_accuracy(top_k):
    rng = np.random.default_rng(2)
    probs, labels = rng.dirichlet(np.ones(4), 100).astype(np.float32), rng.integers(0, 4, 100)
    expected = top_k_accuracy_score(labels, probs, k=top_k)
    assert measured(TopKAccuracy(top_k), "probs", probs, labels) == pytest.approx(expected)


def test_mean_of_losses_weighs_batches_by_their_rows():
    mean = MeanOf()
    mean.add_mean(torch.tensor(1.0, requires_grad=True), 3)
    mean.add_mean(torch.tensor(5.0), 1)
    assert float(mean.compute()) == 2.0
    mean.reset()
    assert np.isnan(float(mean.compute()))
    with pytest.raises(TypeError, match="add_mean"):
        mean.update({}, torch.tensor([1]), None)


def test_many_rows_do_not_lose_precision():
    metric = MeanSquaredError()
    for _ in range(100):
        metric.update({"y": torch.full((10_000,), 4000.1)}, torch.zeros(10_000), None)
    assert float(metric.compute()) == pytest.approx(float(np.float32(4000.1)) ** 2, rel=1e-12)
