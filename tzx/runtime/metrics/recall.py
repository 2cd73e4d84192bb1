"""Recall of retrieval models. Legend: B rows, N candidates of each."""

from collections.abc import Mapping

from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.base import RatioMetric


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
