"""Metrics that are means over rows. Legend: B rows, C classes."""

from collections.abc import Mapping

from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.base import RatioMetric


class MeanAbsoluteError(RatioMetric):
    """Mean of |y - label|."""

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in `y` [B]."""
        error_B = predictions["y"].double() - label_B
        self.add(error_B.abs().sum(), label_B.shape[0])


class MeanSquaredError(RatioMetric):
    """Mean of (y - label)^2."""

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in `y` [B]."""
        error_B = predictions["y"].double() - label_B
        self.add(error_B.square().sum(), label_B.shape[0])


class BinaryAccuracy(RatioMetric):
    """Share of rows on the right side of the threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in `probs` [B]."""
        right_B = (predictions["probs"] > self.threshold) == (label_B > 0.5)
        self.add(right_B.sum(), label_B.shape[0])


class TopKAccuracy(RatioMetric):
    """Share of rows whose class is among the k most probable."""

    def __init__(self, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in `probs` [B, C]."""
        best_BK = predictions["probs"].topk(self.top_k, dim=1).indices
        self.add((best_BK == label_B.long()[:, None]).sum(), label_B.shape[0])
