"""Interactions between feature vectors.

Legend: B rows, F feature vectors, D width of each.
"""

from typing import Any

import torch
from torch import Tensor, nn


class FactorizationMachine(nn.Module):
    """Second-order factorization machine without the sum over D: ((sum of v)^2 - sum of v^2) / 2.

    Source: Rendle, Factorization Machines, lemma 3.1.
    """

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, D]."""
        if torch.compiler.is_compiling() or not x_BFD.requires_grad:
            return _products_of_pairs(x_BFD, x_BFD.sum(dim=1))
        products_BD: Tensor = _ProductsOfPairs.apply(x_BFD)
        return products_BD


def _products_of_pairs(x_BFD: Tensor, sum_BD: Tensor) -> Tensor:
    return 0.5 * (sum_BD.square() - x_BFD.square().sum(dim=1))


class _ProductsOfPairs(torch.autograd.Function):
    """The gradient of each vector is the sum of the others: one pass over [B, F, D] instead of autograd's five."""

    @staticmethod
    def forward(ctx: Any, x_BFD: Tensor) -> Tensor:
        sum_BD = x_BFD.sum(dim=1)
        ctx.save_for_backward(x_BFD, sum_BD)
        return _products_of_pairs(x_BFD, sum_BD)

    @staticmethod
    def backward(ctx: Any, gradient_BD: Tensor) -> Tensor:
        x_BFD, sum_BD = ctx.saved_tensors
        return (sum_BD.unsqueeze(1) - x_BFD).mul_(gradient_BD.unsqueeze(1))


class DotInteraction(nn.Module):
    """Dot product of every pair of different vectors, in the order of the upper triangle of X X^T.

    Source: Naumov et al., Deep Learning Recommendation Model, section 2.1.

    Args:
        num_features: F.
    """

    pairs: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        row, column = torch.triu_indices(num_features, num_features, offset=1)
        self.register_buffer("pairs", row * num_features + column, persistent=False)
        self.out_dim: int = num_features * (num_features - 1) // 2

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, F * (F - 1) / 2]."""
        products_BFF = torch.bmm(x_BFD, x_BFD.transpose(1, 2))
        return products_BFF.flatten(1).index_select(1, self.pairs)
