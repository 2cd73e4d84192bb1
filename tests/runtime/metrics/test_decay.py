import numpy as np
import pytest
import torch
from google.protobuf import text_format
from sklearn.metrics import roc_auc_score

from tzx.runtime.metrics import make_train_metric
from tzx.runtime.protos.metric_pb2 import TrainMetricConfig


def train_metric(text, outputs):
    return make_train_metric(text_format.Parse(text, TrainMetricConfig()), 1, outputs)


def test_means_decay_their_sums_and_counts():
    metric = train_metric("mean_squared_error {} decay_rate: 0.8 decay_step: 3", ["y"])
    rng = np.random.default_rng(0)
    kept, window = np.zeros(2), np.zeros(2)
    for step in range(1, 11):
        y = rng.normal(size=step).astype(np.float32)
        metric.update({"y": torch.tensor(y)}, torch.zeros(step), None)
        window += ((y.astype(float) ** 2).sum(), step)
        if step % 3 == 0:
            kept, window = 0.8 * kept + 0.2 * window, np.zeros(2)
        shown = kept if kept.any() else window
        assert float(metric.compute()) == pytest.approx(shown[0] / shown[1], rel=1e-6)
    metric.reset()
    assert np.isnan(float(metric.compute()))


def test_auc_decays_its_counts():
    metric = train_metric("auc {} decay_rate: 0.5 decay_step: 2", ["logits", "probs"])
    rng = np.random.default_rng(1)
    batches = [(rng.random(40).astype(np.float32), rng.integers(0, 2, 40)) for _ in range(7)]
    for step, (probs, labels) in enumerate(batches, 1):
        metric.update({"probs": torch.tensor(probs)}, torch.tensor(labels), None)
        windows = max(step // 2, 1)
        seen = batches[: min(windows * 2, step)]
        weights = np.concatenate([np.full(40, 0.5 ** (windows - 1 - i // 2)) for i in range(len(seen))])
        probs, labels = (np.concatenate([b[i] for b in seen]) for i in range(2))
        expected = roc_auc_score(labels, probs, sample_weight=weights)
        assert float(metric.compute()) == pytest.approx(expected, abs=1e-4)


def test_defaults_come_from_the_schema():
    metric = train_metric("accuracy {}", ["probs"])
    assert (metric.rate, metric.steps) == (pytest.approx(0.9), 100)
