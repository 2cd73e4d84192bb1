import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tzx.runtime.metrics.grouped_auc import GroupedAUC, group_aucs


def expected_aucs(keys, scores, labels):
    found = []
    for key in np.unique(keys):
        at = keys == key
        if 0 < labels[at].sum() < at.sum():
            found.append(roc_auc_score(labels[at], scores[at]))
    return found


def test_groups_match_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    keys = rng.zipf(1.3, 5000) % 300 - 5
    scores = np.round(rng.random(5000), 2).astype(np.float32)
    labels = rng.random(5000) < scores
    got = group_aucs(torch.tensor(keys), torch.tensor(scores), torch.tensor(labels))
    np.testing.assert_allclose(got.numpy(), expected_aucs(keys, scores, labels), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), max_size=40))
def test_any_small_set_of_rows(rows):
    keys, scores, labels = (np.array([r[i] for r in rows]) for i in range(3))
    got = group_aucs(
        torch.tensor(keys, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(labels, dtype=torch.bool),
    )
    expected = expected_aucs(keys, scores, labels) if rows else []
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_mean_over_batches_keyed_by_a_feature(batch_with):
    rng = np.random.default_rng(2)
    keys, scores = rng.integers(0, 20, 400), rng.random(400).astype(np.float32)
    labels = (rng.random(400) < 0.5).astype(np.int64)
    metric = GroupedAUC("user", "probs1")
    for part in np.array_split(np.arange(400), 6):
        batch = batch_with({"other": [[1, 2]] * len(part), "user": [[k] for k in keys[part]]})
        metric.update({"probs1": torch.tensor(scores[part])}, torch.tensor(labels[part]), batch)
    assert float(metric.compute()) == pytest.approx(np.mean(expected_aucs(keys, scores, labels)), abs=1e-12)


def test_keyed_by_a_label_column_and_reset(batch_with):
    metric = GroupedAUC("query", "probs")
    batch = batch_with(labels={"query": torch.tensor([5, 5, 6])})
    labels = torch.tensor([1, 0, 1])
    metric.update({"probs": torch.tensor([0.2, 0.4, 0.1])}, labels, batch)
    assert float(metric.compute()) == 0.0
    metric.reset()
    assert np.isnan(float(metric.compute()))
    metric.update({"probs": torch.tensor([0.4, torch.nan, 0.1])}, labels, batch)
    assert np.isnan(float(metric.compute()))
