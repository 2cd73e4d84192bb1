"""Gradients of several losses without their conflicts. Legend: T losses.

Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", algorithm 1: each gradient gives up what points against
another one, for all others in random order, and the results are added.

Notable: what is left of each gradient is a combination of all of them, so the whole surgery is a weight for each loss.
The weights follow from the products of the gradients, and one pass backwards with weighted losses then updates
everything, tables with fused optimizers as well.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.metrics.sync import all_sum, is_first
from tzx.runtime.models.gradients import LossGradients, weighted


def surgery_weights(gram_TT: Tensor, order_TT: Tensor) -> Tensor:
    """Weights [T] of the losses whose weighted gradients add up to what the surgery leaves.

    Args:
        gram_TT: float64 products of the losses' gradients.
        order_TT: int64, row i in which order loss i meets the losses; itself it passes by.
    """
    count = gram_TT.shape[0]
    mixed_TT = torch.eye(count, dtype=gram_TT.dtype, device=gram_TT.device)
    for i in range(count):
        for j in order_TT[i].tolist():
            along = mixed_TT[i] @ gram_TT[:, j]
            if i != j and along < 0:
                mixed_TT[i, j] -= along / gram_TT[j, j]
    return mixed_TT.sum(dim=0)


class GradientSurgery:
    """Takes the conflicts out of the gradients of the tasks' losses; other losses, such as penalties, are left alone.

    Args:
        gradients: of the model.
        names: losses of the tasks.
    """

    def __init__(self, gradients: LossGradients, names: frozenset[str]) -> None:
        self._gradients, self._names = gradients, names

    def weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses with gradients that do not conflict and the values they had."""
        own = {name: loss for name, loss in losses.items() if name in self._names}
        gram_TT = self._gradients.products(list(own.values())).cpu()
        # Random numbers differ between processes: those of the first one count.
        drawn_TT = torch.rand(len(own), len(own), dtype=torch.float64)
        order_TT = all_sum(drawn_TT if is_first() else torch.zeros_like(drawn_TT)).cpu().argsort(dim=1)
        weights = surgery_weights(gram_TT, order_TT).unbind()
        return {**losses, **weighted(own, weights)}
