import numpy as np
import pytest
import torch

from tzx.runtime.metrics.recall import RecallAtK


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
