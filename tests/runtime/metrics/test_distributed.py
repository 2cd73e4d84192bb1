import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import warm
from sklearn.metrics import log_loss, precision_score, recall_score, roc_auc_score

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture(scope="module")
def worker():
    return runpy.run_path(str(WORKER))


@pytest.fixture(scope="module")
def by_rank(tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "file"
    running = [warm.Popen([WORKER, rank, 2, store]) for rank in range(2)]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [p.returncode for p in running] == [0, 0], [err for _, err in outputs]
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


def test_two_processes_with_uneven_batches_equal_one(worker, by_rank):
    alone = worker["run"](0, 1)
    assert by_rank[0] == by_rank[1]
    del alone["decayed"]  # windows are per process by definition
    for name, value in alone.items():
        assert by_rank[0][name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-12)), name
    for name in ("auc", "multiclass_auc", "xauc", "batch_xauc"):  # counts are integers: not a bit may differ
        assert by_rank[0][name] == alone[name]
    assert 0.5 < by_rank[0]["decayed"] < 1


def test_the_values_are_right(worker, by_rank):
    probs, labels, users = (np.concatenate(c) for c in zip(*worker["batches"](), strict=True))
    groups = [users == u for u in np.unique(users)]
    exact = [roc_auc_score(labels[g], probs[g]) for g in groups if 0 < labels[g].sum() < g.sum()]
    assert by_rank[0]["grouped_auc"] == pytest.approx(np.mean(exact), abs=1e-12)
    assert by_rank[0]["auc"] == pytest.approx(roc_auc_score(labels, probs), abs=1e-4)
    assert by_rank[0]["mse"] == pytest.approx(np.mean((probs - labels) ** 2), rel=1e-6)
    assert by_rank[0]["log_loss"] == pytest.approx(log_loss(labels, probs.astype(float)), rel=1e-9)
    assert by_rank[0]["calibration"] == pytest.approx(probs.astype(float).sum() / labels.sum(), rel=1e-9)
    assert by_rank[0]["threshold_recall"] == pytest.approx(recall_score(labels, probs > np.float32(0.2)))
    assert by_rank[0]["precision"] == pytest.approx(precision_score(labels, probs > np.float32(0.2)))
