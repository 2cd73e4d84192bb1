"""How much of what is wanted is found. Legend: B rows of a batch, N candidates of each, or rows in all, G groups."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.base import RatioMetric
from tzx.runtime.metrics.grouped import GroupedMetric


class RecallAtK(RatioMetric):
    """Share of rows whose positive candidate is among the k most similar ones.

    Candidates exactly as similar as the positive one share the places: a row then counts by the chance that a random
    order has it among the k.
    """

    def __init__(self, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in `similarity` [B, N]; the label is the column of the positive candidate."""
        similarity_BN = predictions["similarity"]
        positive_B1 = similarity_BN.gather(1, label_B.long().unsqueeze(1))
        above_B = (similarity_BN > positive_B1).sum(dim=1)
        level_B = (similarity_BN == positive_B1).sum(dim=1)
        self.add(((self.top_k - above_B) / level_B).double().clamp(0, 1).sum(), label_B.shape[0])


class Recall(RatioMetric):
    """Share of the positive rows whose probability is above the threshold; NaN without positive rows.

    Args:
        threshold: from 0 to 1.
        output: the prediction [B], `probs` or `probs1`.
    """

    def __init__(self, threshold: float, output: str) -> None:
        super().__init__()
        self.threshold, self.output = threshold, output

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in probabilities [B]."""
        positive_B, found_B = label_B > 0.5, predictions[self.output] > self.threshold
        state = self.state_on(label_B.device)
        state += torch.stack([(positive_B & found_B).sum(), self._all(positive_B, found_B).sum()])

    def _all(self, positive_B: Tensor, found_B: Tensor) -> Tensor:
        """Rows of which the share is taken."""
        return positive_B


class Precision(Recall):
    """Share of positive rows among those whose probability is above the threshold; NaN where none is."""

    def _all(self, positive_B: Tensor, found_B: Tensor) -> Tensor:
        return found_B


def group_recalls(key_N: Tensor, score_N: Tensor, positive_N: Tensor, top_k: int) -> Tensor:
    """Share of the positive rows of each group that are among its k best, float64, of the groups that have some.

    Args:
        key_N: int64 [N], the group of each row.
        score_N: float [N]; rows of equal scores count by the chance that a random order has them among the k.
        positive_N: bool [N].
        top_k: k.
    """
    order_N = torch.argsort(score_N, descending=True, stable=True)
    order_N = order_N[torch.argsort(key_N[order_N], stable=True)]
    key_N, score_N, positive_N = key_N[order_N], score_N[order_N], positive_N[order_N].double()
    group_N, sizes_G = torch.unique_consecutive(key_N, return_inverse=True, return_counts=True)[1:]
    new_run_N = torch.ones_like(key_N, dtype=torch.bool)
    new_run_N[1:] = (key_N[1:] != key_N[:-1]) | (score_N[1:] != score_N[:-1])
    run_N = new_run_N.cumsum(0) - 1
    level_N = torch.bincount(run_N)[run_N]
    start_N = new_run_N.nonzero().squeeze(1)[run_N] - (sizes_G.cumsum(0) - sizes_G)[group_N]
    chance_N = ((top_k - start_N) / level_N).clamp(0, 1).double()
    zeros_G = torch.zeros(len(sizes_G), dtype=torch.float64)
    positives_G = zeros_G.index_add(0, group_N, positive_N)
    found_G = zeros_G.index_add(0, group_N, positive_N * chance_N)
    return (found_G / positives_G)[positives_G > 0]


class GroupedRecallAtK(GroupedMetric):
    """Mean over groups of the share of their positive rows that are among the k best of the group.

    Args:
        grouping_key: a plain sparse feature (first id of a row counts) or a label column.
        output: the prediction [B] to rank rows by, `probs` or `probs1`.
        top_k: k.
    """

    def __init__(self, grouping_key: str, output: str, top_k: int) -> None:
        super().__init__(grouping_key, output)
        self.top_k = top_k

    def of_groups(self, key_N: Tensor, score_N: Tensor, positive_N: Tensor) -> Tensor:
        """Recall of each group that has positive rows."""
        return group_recalls(key_N, score_N, positive_N, self.top_k)
