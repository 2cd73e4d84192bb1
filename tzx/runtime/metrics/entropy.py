"""Cross entropy of probabilities, alone and against that of the base rate. Legend: B rows, C classes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.base import RatioMetric, SumMetric


def binary_entropy(target: Tensor, prob: Tensor) -> Tensor:
    """-t log p - (1 - t) log(1 - p), element by element."""
    return -torch.xlogy(target, prob) - torch.xlogy(1 - target, 1 - prob)


class LogLoss(RatioMetric):
    """Mean of -log of the probability given to what happened; NaN without rows.

    Args:
        eta: probabilities are kept this far from 0 and 1.
        output: the prediction, probability of the positive class [B] or of all classes [B, C].
    """

    def __init__(self, eta: float, output: str) -> None:
        super().__init__()
        self.eta, self.output = eta, output

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in probabilities."""
        prob = predictions[self.output].double().clamp(self.eta, 1 - self.eta)
        if prob.dim() == 2:
            cost_B = -prob.gather(1, label_B.long().unsqueeze(1)).log()
        else:
            cost_B = binary_entropy(label_B.double(), prob)
        self.add(cost_B.sum(), label_B.shape[0])


class NormalizedEntropy(SumMetric):
    """Mean cross entropy over the entropy of the share of positive rows; NaN without rows of both classes.

    Source: He et al. 2014, Practical Lessons from Predicting Clicks on Ads at Facebook, section 3.

    Args:
        eta: predictions are kept this far from 0 and 1.
        output: the prediction [B], `probs` or `probs1`.
    """

    def __init__(self, eta: float, output: str) -> None:
        super().__init__(3)
        self.eta, self.output = eta, output

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in probabilities [B]."""
        prob_B = predictions[self.output].double().clamp(self.eta, 1 - self.eta)
        target_B = label_B.double()
        sums = torch.stack([binary_entropy(target_B, prob_B).sum(), target_B.sum()])
        state = self.state_on(prob_B.device)
        state[:2] += sums
        state[2] += label_B.shape[0]

    def value(self, state: Tensor) -> Tensor:
        """Ratio of both entropies."""
        cost, positives, rows = state
        rate = positives / rows
        base = binary_entropy(rate, rate)
        return torch.where(base > 0, cost / rows / base, torch.nan)
