"""Weights of several losses that are learned with the model. Legend: T losses."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class UncertaintyWeights(nn.Module):
    """A loss L counts L / v + log(v) / 2, a squared error L / 2v + log(v) / 2, with a learned variance v of its task.

    The logarithm of v is what is learned, from 0 on; it is a parameter of the model and saved with it.

    Source: Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses, section 3.2.

    Args:
        names: losses of the tasks; others are left alone.
        squared: those among them that are squared errors.
    """

    factor: Tensor

    def __init__(self, names: Sequence[str], squared: frozenset[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.log_variance = nn.Parameter(torch.zeros(len(names)))
        factors = [0.5 if name in squared else 1.0 for name in names]
        self.register_buffer("factor", torch.tensor(factors), persistent=False)

    def weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses with the gradients of what they count, and the values they had."""
        weight_T = (-self.log_variance).exp() * self.factor
        found = dict(losses)
        for name, weight, log_variance in zip(self.names, weight_T, self.log_variance, strict=True):
            counted = weight * losses[name] + log_variance / 2
            found[name] = losses[name].detach() + counted - counted.detach()
        return found

    def variances(self) -> dict[str, float]:
        """What has been learned, by loss."""
        return dict(zip(self.names, self.log_variance.detach().exp().tolist(), strict=True))
