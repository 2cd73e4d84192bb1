"""Metrics of the training stream that forget slowly."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.base import Metric, SumMetric
from tzx.runtime.metrics.sync import all_sum


class Decayed(Metric):
    """A metric of recent rows: every `steps` updates, kept = rate * kept + (1 - rate) * fresh.

    What is kept and decayed is the metric's additive state (histograms of AUC, sum and count of a mean), so the value
    is right from the first decay on, where TorchEasyRec's rises slowly from 0. Before, it is that of the rows so far.
    """

    def __init__(self, metric: SumMetric, rate: float, steps: int) -> None:
        self.metric, self.rate, self.steps = metric, rate, steps
        self.kept = torch.zeros(metric.state.shape, dtype=torch.float64)
        self.updates = 0

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in one batch of the training stream."""
        self.metric.update(predictions, label_B, batch)
        self.updates += 1
        if self.updates % self.steps == 0:
            fresh = self.metric.state
            self.kept = self.rate * self.kept.to(fresh.device) + (1 - self.rate) * fresh
            self.metric.reset()

    def compute(self) -> Tensor:
        """Value over the rows of all processes."""
        kept, fresh = all_sum(self.kept), all_sum(self.metric.state)
        return self.metric.value(kept if kept.any() else fresh)

    def summed_state(self) -> dict[str, Tensor]:
        """What is kept and counted, over all processes; a collective."""
        state = {"kept": all_sum(self.kept), "fresh": all_sum(self.metric.state)}
        return {name: tensor.clone() for name, tensor in state.items()} | {"updates": torch.tensor([self.updates])}

    def restore(self, state: Mapping[str, Tensor], is_chief: bool) -> None:
        """Go on from a `summed_state`; one process takes all of it, so that the sum over processes stays."""
        share = 1 if is_chief else 0
        self.kept, self.metric.state = state["kept"] * share, state["fresh"] * share
        self.updates = int(state["updates"])

    def reset(self) -> None:
        """Forget everything."""
        self.metric.reset()
        self.kept = torch.zeros_like(self.kept)
        self.updates = 0
