"""One-against-rest areas under the ROC curve, from histograms per class. Legend: B rows, C classes, K bins."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.auc import LEAST_BINS, areas, bins_of
from tzx.runtime.metrics.base import SumMetric

MOST_CELLS = 1 << 23  # 64 MB of counts, however many classes there are
FEWEST_BINS = 1 << 10


class MulticlassAUC(SumMetric):
    """Mean over the classes of the area of each class against all others; rows of one bin count as ties.

    A class without rows, or with all of them, has no area and is left out. NaN when no class is left or a prediction
    was NaN.

    Args:
        thresholds: bins asked for; more are used as long as memory allows.
        num_class: C.
        average: "macro", all classes alike, or "weighted", each by its rows.
    """

    def __init__(self, thresholds: int, num_class: int, average: str) -> None:
        affordable = max(MOST_CELLS // (2 * num_class), FEWEST_BINS)
        self.bins, self.num_class, self.average = max(thresholds, min(LEAST_BINS, affordable)), num_class, average
        super().__init__(num_class * 2 * (self.bins + 1), torch.int64)

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in `probs` [B, C]."""
        probs_BC = predictions["probs"]
        class_C = torch.arange(self.num_class, device=probs_BC.device)
        own_BC = label_B.long().unsqueeze(1) == class_C
        at_BC = bins_of(probs_BC, self.bins) + (2 * class_C + own_BC.long()) * (self.bins + 1)
        at = at_BC.flatten()
        self.state_on(probs_BC.device).index_add_(0, at, torch.ones_like(at))

    def value(self, state: Tensor) -> Tensor:
        """Mean of the classes' areas."""
        others_CK, own_CK = state.double().view(self.num_class, 2, self.bins + 1).unbind(1)
        areas_C, rows_C = areas(others_CK, own_CK), own_CK.sum(1)
        weight_C = rows_C if self.average == "weighted" else torch.ones_like(rows_C)
        weight_C = torch.where((rows_C > 0) & (others_CK.sum(1) > 0), weight_C, 0.0)
        mean = torch.where(weight_C > 0, areas_C * weight_C, 0.0).sum() / weight_C.sum()
        return torch.where(state.view(-1, self.bins + 1)[:, -1].sum() > 0, torch.nan, mean)
