from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.metrics.xauc import XAUC, BatchXAUC, GroupedXAUC, concordant_pairs


def counted(targets, scores):
    return sum((targets[i] - targets[j]) * (scores[i] - scores[j]) > 0 for i, j in combinations(range(len(targets)), 2))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 4), st.integers(-5, 5)), max_size=25))
def test_pairs_equal_a_count_one_by_one(rows):
    groups, targets, scores = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(3))
    groups = np.unique(groups, return_inverse=True)[1]
    found = concordant_pairs(
        torch.tensor(groups), torch.tensor(targets).double(), torch.tensor(scores).float(), len(set(groups))
    )
    expected = [counted(targets[groups == g], scores[groups == g]) for g in np.unique(groups)]
    assert found.tolist() == expected


def update(metric, targets, scores, batch=None):
    metric.update({"y": torch.tensor(scores)}, torch.tensor(targets), batch)


def test_over_batches():
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 40, 300).astype(np.float32)
    scores = (targets + rng.normal(size=300) * 20).astype(np.float32)
    metric = XAUC("y")
    for part in np.array_split(np.arange(300), 7):
        update(metric, targets[part], scores[part])
    assert float(metric.compute()) == pytest.approx(counted(targets, scores) / (300 * 299 / 2), rel=1e-12)
    metric.reset()
    update(metric, np.array([1.0, 2.0, 2.0]), np.array([0.1, 0.1, 0.3]))
    assert float(metric.compute()) == pytest.approx(1 / 3)  # equal scores, rising, equal targets


def test_within_batches():
    rng = np.random.default_rng(2)
    metric, right, pairs = BatchXAUC("y"), 0, 0
    for size in (5, 1, 30, 12):
        targets, scores = rng.integers(0, 4, size), rng.normal(size=size).astype(np.float32)
        update(metric, targets, scores)
        right, pairs = right + counted(targets, scores), pairs + size * (size - 1) / 2
    assert float(metric.compute()) == pytest.approx(right / pairs, rel=1e-12)


def test_per_group_weighted_by_rows(batch_with):
    rng = np.random.default_rng(3)
    users, targets = rng.integers(0, 12, 150), rng.normal(size=150).astype(np.float32)
    scores = (targets + rng.normal(size=150)).astype(np.float32)
    users[:1] = 99  # a group of one row does not count
    metric = GroupedXAUC("user", "y")
    for part in np.array_split(np.arange(150), 4):
        update(metric, targets[part], scores[part], batch_with({"user": [[int(u)] for u in users[part]]}))
    shares, sizes = [], []
    for user in np.unique(users):
        at = users == user
        if at.sum() > 1:
            shares.append(counted(targets[at], scores[at]) / (at.sum() * (at.sum() - 1) / 2))
            sizes.append(at.sum())
    assert float(metric.compute()) == pytest.approx(np.average(shares, weights=sizes), rel=1e-12)


@pytest.mark.parametrize("metric", [XAUC("y"), BatchXAUC("y")])
def test_nothing_to_compare_and_nan(metric):
    assert np.isnan(float(metric.compute()))
    update(metric, np.array([1.0]), np.array([2.0]))
    assert np.isnan(float(metric.compute()))
    update(metric, np.array([1.0, 2.0]), np.array([np.nan, 1.0]))
    assert np.isnan(float(metric.compute()))
