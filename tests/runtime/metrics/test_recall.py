import numpy as np
import pytest
import torch
from sklearn.metrics import precision_score, recall_score

from tzx.runtime.metrics.recall import GroupedRecallAtK, Precision, Recall, RecallAtK


def test_share_of_rows_with_the_positive_among_the_best():
    rng = np.random.default_rng(0)
    similarity = rng.normal(size=(200, 30)).astype(np.float32)
    label = rng.integers(0, 30, 200)
    metric = RecallAtK(4)
    for part in (slice(0, 150), slice(150, 200)):
        metric.update({"similarity": torch.tensor(similarity[part])}, torch.tensor(label[part]), None)
    best = np.argsort(-similarity, axis=1)[:, :4]
    assert float(metric.compute()) == np.mean([label[i] in best[i] for i in range(200)])


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1 / 3), (3, 2 / 3), (4, 1.0), (9, 1.0)])
def test_equal_candidates_share_their_places(k, expected):
    metric = RecallAtK(k)
    metric.update({"similarity": torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1]])}, torch.tensor([0]), None)
    assert float(metric.compute()) == pytest.approx(expected)


def test_recall_and_precision_are_scikit_learns():
    rng = np.random.default_rng(1)
    probs, labels = rng.random(400), rng.integers(0, 2, 400)
    for metric, expected in ((Recall(0.3, "probs"), recall_score), (Precision(0.3, "probs"), precision_score)):
        for part in np.array_split(np.arange(400), 3):
            metric.update({"probs": torch.tensor(probs[part])}, torch.tensor(labels[part]), None)
        assert float(metric.compute()) == pytest.approx(expected(labels, probs > 0.3), rel=1e-12)
        metric.reset()
        metric.update({"probs": torch.tensor([0.1])}, torch.tensor([0]), None)
        assert np.isnan(float(metric.compute()))


def one_by_one(users, scores, labels, k):
    """Recall of each user with positives; rows of equal scores are tried in many orders."""
    rng, found = np.random.default_rng(0), []
    for user in np.unique(users):
        score, label = scores[users == user], labels[users == user]
        if label.any():
            orders = (np.lexsort((rng.random(len(score)), -score))[:k] for _ in range(4000))
            found.append(np.mean([label[order].sum() for order in orders]) / label.sum())
    return np.mean(found)


@pytest.mark.parametrize(("levels", "tolerance"), [(1000, 1e-12), (3, 5e-3)])
def test_recall_inside_groups(batch_with, levels, tolerance):
    rng = np.random.default_rng(2)
    users, labels = rng.integers(0, 6, 60), rng.integers(0, 2, 60)
    scores = (rng.permutation(60) % levels / levels).astype(np.float32)
    labels[users == 3] = 0
    metric = GroupedRecallAtK("user", "probs", 3)
    for part in np.array_split(np.arange(60), 4):
        batch = batch_with({"user": [[int(u)] for u in users[part]]})
        metric.update({"probs": torch.tensor(scores[part])}, torch.tensor(labels[part]), batch)
    assert float(metric.compute()) == pytest.approx(one_by_one(users, scores, labels, 3), abs=tolerance)
