"""Metrics of the training stream that forget slowly."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.auc import AUC
from tzx.runtime.metrics.base import Metric, SumMetric
from tzx.runtime.metrics.sync import all_sum, world_size


class Decayed(Metric):
    """Moving value of a metric: every `steps` updates, kept = rate * kept + (1 - rate) * fresh, from 0.

    `fresh` is what the metric saw since the last decay: for AUC its histograms, for the others their value. So AUC is
    0 until the first decay and right from then on, while the others rise towards their level over some 1 / (1 - rate)
    decays, as in TorchEasyRec.
    """

    def __init__(self, metric: SumMetric, rate: float, steps: int) -> None:
        self.metric, self.rate, self.steps = metric, rate, steps
        self.counts = isinstance(metric, AUC)
        self.kept = torch.zeros(metric.state.shape if self.counts else (), dtype=torch.float64)
        self.updates = 0

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in one batch of the training stream."""
        self.metric.update(predictions, label_B, batch)
        self.updates += 1
        if self.updates % self.steps == 0:
            fresh = self.metric.state if self.counts else self.metric.value(self.metric.state)
            self.kept = self.rate * self.kept.to(fresh.device) + (1 - self.rate) * fresh
            self.metric.reset()

    def compute(self) -> Tensor:
        """Value over all processes: histograms are added, other values averaged."""
        kept = all_sum(self.kept)
        if not self.counts:
            return kept / world_size()
        return torch.where(kept.sum() > 0, self.metric.value(kept), 0.0)

    def reset(self) -> None:
        """Back to zero."""
        self.metric.reset()
        self.kept = torch.zeros_like(self.kept)
        self.updates = 0
