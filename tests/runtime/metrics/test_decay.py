import numpy as np
import pytest
import torch
from google.protobuf import text_format
from sklearn.metrics import roc_auc_score

from tzx.runtime.metrics import make_train_metric
from tzx.runtime.protos.metric_pb2 import TrainMetricConfig


def train_metric(text, outputs):
    return make_train_metric(text_format.Parse(text, TrainMetricConfig()), 1, outputs)


def test_values_decay_from_zero():
    metric = train_metric("mean_squared_error {} decay_rate: 0.8 decay_step: 3", ["y"])
    rng = np.random.default_rng(0)
    kept, window = 0.0, []
    for step in range(1, 11):
        y = rng.normal(size=5).astype(np.float32)
        metric.update({"y": torch.tensor(y)}, torch.zeros(5), None)
        window.append((y.astype(float) ** 2).mean())
        if step % 3 == 0:
            kept, window = 0.8 * kept + 0.2 * np.mean(window), []
        assert float(metric.compute()) == pytest.approx(kept, rel=1e-6)
    metric.reset()
    assert float(metric.compute()) == 0.0


def test_auc_decays_its_counts():
    metric = train_metric("auc {} decay_rate: 0.5 decay_step: 2", ["logits", "probs"])
    rng = np.random.default_rng(1)
    batches = [(rng.random(40).astype(np.float32), rng.integers(0, 2, 40)) for _ in range(7)]
    for step, (probs, labels) in enumerate(batches, 1):
        metric.update({"probs": torch.tensor(probs)}, torch.tensor(labels), None)
        windows = step // 2
        if windows == 0:
            assert float(metric.compute()) == 0.0
            continue
        seen = batches[: windows * 2]
        weights = np.concatenate([np.full(40, 0.5 ** (windows - 1 - i // 2)) for i in range(windows * 2)])
        probs, labels = (np.concatenate([b[i] for b in seen]) for i in range(2))
        expected = roc_auc_score(labels, probs, sample_weight=weights)
        assert float(metric.compute()) == pytest.approx(expected, abs=1e-4)


def test_defaults_come_from_the_schema():
    metric = train_metric("accuracy {}", ["probs"])
    assert (metric.rate, metric.steps) == (pytest.approx(0.9), 100)
