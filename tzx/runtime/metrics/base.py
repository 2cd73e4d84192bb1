"""Metrics whose state is a sum over rows, so that processes merge by adding. Legend: B rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.metrics.sync import all_sum


class Metric(ABC):
    """Something measured over many batches. `compute` is a collective: every process must call it."""

    @abstractmethod
    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Take in one batch; never waits for an accelerator unless the metric says so.

        Args:
            predictions: the task's predictions without task suffix, detached.
            label_B: int64 or float32 [B].
            batch: where the rows come from.
        """

    @abstractmethod
    def compute(self) -> Tensor:
        """Value over all rows of all processes since the last reset, a scalar."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""


class SumMetric(Metric):
    """A metric computed from one tensor that adds up over rows, batches and processes."""

    def __init__(self, size: int, dtype: torch.dtype = torch.float64) -> None:
        self.state = torch.zeros(size, dtype=dtype)

    @abstractmethod
    def value(self, state: Tensor) -> Tensor:
        """The metric, a scalar, of an added-up state."""

    def state_on(self, device: torch.device) -> Tensor:
        """The state, moved to where the rows are."""
        if self.state.device != device:
            self.state = self.state.to(device)
        return self.state

    def compute(self) -> Tensor:
        """Add up over processes, then `value`."""
        return self.value(all_sum(self.state))

    def reset(self) -> None:
        """Back to zero."""
        self.state = torch.zeros_like(self.state)


class RatioMetric(SumMetric):
    """A mean: the state holds a sum and a count. No rows give NaN."""

    def __init__(self) -> None:
        super().__init__(2)

    def add(self, sum_: Tensor, count: int) -> None:
        """Add `count` rows whose values add up to `sum_`."""
        state = self.state_on(sum_.device)
        state[0] += sum_
        state[1] += count

    def value(self, state: Tensor) -> Tensor:
        """Sum over count."""
        return state[0] / state[1]


class MeanOf(RatioMetric):
    """Mean over rows of something already averaged per batch, such as a loss."""

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Not fed by rows; use `add_mean`."""
        raise TypeError("MeanOf is fed through add_mean")

    def add_mean(self, mean: Tensor, rows: int) -> None:
        """Take in the mean of `rows` rows."""
        self.add(mean.detach().double() * rows, rows)
