"""How rows are weighted when a loss is averaged over a batch. Legend: B rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


def normalized(weight_B: Tensor) -> Tensor:
    """Weights divided by their mean; all zero stays zero. [B] -> [B]."""
    mean = weight_B.mean()
    return weight_B / torch.where(mean == 0, torch.ones_like(mean), mean)


def weighted_mean(cost_B: Tensor, weight_B: Tensor | None) -> Tensor:
    """Mean of cost times weight; plain mean without weights.

    Args:
        cost_B: float [B].
        weight_B: float [B] or None.
    """
    return cost_B.mean() if weight_B is None else (cost_B * weight_B).mean()


@dataclass(frozen=True)
class RowWeights:
    """Where the weights of a task's rows come from.

    `column` is a sample weight column; `indicator` a label column whose positive rows count `inside` and whose other
    rows count `outside`. After normalisation to mean 1 over the batch, `scale` (the tower's weight) is applied.
    """

    column: str | None = None
    indicator: str | None = None
    inside: float = 1.0
    outside: float = 1.0
    scale: float | None = None

    def of(self, weights: Mapping[str, Tensor], labels: Mapping[str, Tensor], like_B: Tensor) -> Tensor | None:
        """Weights [B] of a batch, None when every row counts the same.

        Args:
            weights: sample weight columns, float [B] each.
            labels: label columns, [B] each.
            like_B: float [B], gives dtype and device.
        """
        if self.column is None and self.indicator is None:
            return None if self.scale is None else torch.full_like(like_B, self.scale)
        weight_B = torch.ones_like(like_B) if self.column is None else weights[self.column].to(like_B.dtype)
        if self.indicator is not None:
            weight_B = weight_B * torch.where(labels[self.indicator] > 0, self.inside, self.outside).to(like_B.dtype)
        weight_B = normalized(weight_B)
        return weight_B if self.scale is None else weight_B * self.scale
