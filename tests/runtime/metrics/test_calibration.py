import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from tzx.runtime.metrics.calibration import Calibration, ExpectedCalibrationError


def measured(metric, probs, labels):
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.update({"probs": torch.tensor(probs[part])}, torch.tensor(labels[part]), None)
    return float(metric.compute())


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    probs = rng.beta(1, 4, 900)
    return probs, (rng.random(900) < probs**1.5).astype(np.int64)


def test_ratio_of_predicted_and_observed(rows):
    probs, labels = rows
    assert measured(Calibration("probs"), probs, labels) == pytest.approx(probs.sum() / labels.sum(), rel=1e-12)
    assert measured(Calibration("probs"), np.full(900, labels.mean()), labels) == pytest.approx(1)
    assert measured(Calibration("probs"), probs, 0 * labels) == np.inf
    assert np.isnan(measured(Calibration("probs"), probs[:0], labels[:0]))


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_error_is_that_of_scikit_learns_curve(rows, bins):
    probs, labels = rows
    share, mean = calibration_curve(labels, probs, n_bins=bins)
    counts = np.histogram(probs, bins, (0, 1))[0]
    expected = (counts[counts > 0] * np.abs(share - mean)).sum() / len(labels)
    assert measured(ExpectedCalibrationError(bins, "probs"), probs, labels) == pytest.approx(expected, rel=1e-9)


def test_edges_of_bins():
    metric = ExpectedCalibrationError(2, "probs")
    assert measured(metric, np.array([0.0, 0.5, 1.0]), np.array([0, 1, 1])) == pytest.approx((0 + abs(1.5 - 2)) / 3)
    metric.reset()
    assert np.isnan(measured(metric, np.array([np.nan, 0.5]), np.array([1, 1])))
    metric.reset()
    assert np.isnan(float(metric.compute()))
