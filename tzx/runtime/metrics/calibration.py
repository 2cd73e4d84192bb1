"""Whether probabilities mean what they say. Legend: B rows, K bins."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.base import RatioMetric, SumMetric


class Calibration(RatioMetric):
    """Sum of the predicted probabilities over the number of positive rows: 1 is right, above 1 predicts too much.

    Infinite without a positive row, NaN without rows.

    Args:
        output: the prediction [B], `probs` or `probs1`.
    """

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in probabilities [B]."""
        state = self.state_on(label_B.device)
        state[0] += predictions[self.output].double().sum()
        state[1] += label_B.double().sum()


class ExpectedCalibrationError(SumMetric):
    """Distance between mean probability and share of positives within bins, averaged by rows; NaN without rows.

    Bins are equally wide: bin k of K holds probabilities from k/K on up to, not with, (k+1)/K, the last one 1 as well.
    A NaN among the predictions makes the result NaN.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2, for the positive class.

    Args:
        bins: K.
        output: the prediction [B], `probs` or `probs1`.
    """

    def __init__(self, bins: int, output: str) -> None:
        self.bins, self.output = bins, output
        super().__init__(3 * bins)

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Add up rows, probabilities and labels of each bin."""
        prob_B = predictions[self.output].double()
        bin_B = (prob_B * self.bins).nan_to_num(0).long().clamp(0, self.bins - 1)
        state_3K = self.state_on(prob_B.device).view(3, self.bins)
        columns_3B = torch.stack([torch.ones_like(prob_B), prob_B, label_B.double()])
        state_3K.index_add_(1, bin_B, columns_3B)

    def value(self, state: Tensor) -> Tensor:
        """Sum of |probabilities - labels| of each bin, over all rows."""
        rows_K, prob_K, label_K = state.view(3, self.bins)
        return (prob_K - label_K).abs().sum() / rows_K.sum()
