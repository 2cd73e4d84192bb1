"""Exponential moving average of the dense parameters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class MovingAverage:
    """Keeps `average = decay * average + (1 - decay) * parameter`; the first update copies."""

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self._parameters = dict(parameters)
        self._decay = decay
        self.updates = 0
        self.tensors = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are now."""
        weight = 1.0 if self.updates == 0 else 1.0 - self._decay
        torch._foreach_lerp_(list(self.tensors.values()), list(self._parameters.values()), weight)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in place of the parameters for a while."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._copy(self.tensors)
        try:
            yield
        finally:
            self._copy(kept)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
