import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tzx.datasets.baselines import roc_auc
from tzx.datasets.planted import ScoreHistogram, bias_for_rate, draw, sigmoid


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(5000), 2)  # many ties
    return scores, draw(sigmoid(3 * scores - 2), rng)


def test_exact_auc_agrees_with_scikit_learn(scored):
    scores, labels = scored
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert np.isnan(roc_auc(scores, np.zeros_like(labels)))


def test_histogram_auc_agrees_with_scikit_learn_over_chunks(scored):
    scores, labels = scored
    histogram = ScoreHistogram()
    for start in range(0, len(scores), 700):
        histogram.add(scores[start : start + 700], labels[start : start + 700])
    assert histogram.rows == len(scores)
    assert histogram.rate == pytest.approx(labels.mean())
    assert histogram.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert np.isnan(ScoreHistogram().auc)


@pytest.mark.parametrize("rate", [0.01, 0.256, 0.9])
def test_bias_brings_the_mean_probability_to_the_rate(rate: float):
    logits = np.random.default_rng(1).normal(size=10_000) * 2
    assert sigmoid(logits + bias_for_rate(logits, rate)).mean() == pytest.approx(rate, abs=1e-9)
