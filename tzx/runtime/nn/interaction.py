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
    pair_of: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        row, column = torch.triu_indices(num_features, num_features, offset=1)
        pair_of_FF = torch.zeros(num_features, num_features, dtype=torch.int64)
        pair_of_FF[row, column] = pair_of_FF[column, row] = torch.arange(len(row))
        self.register_buffer("pairs", row * num_features + column, persistent=False)
        self.register_buffer("pair_of", pair_of_FF.flatten(), persistent=False)
        self.out_dim: int = num_features * (num_features - 1) // 2

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, F * (F - 1) / 2]."""
        if torch.compiler.is_compiling() or not x_BFD.requires_grad:
            return _dot_products(x_BFD, self.pairs)
        products_BP: Tensor = _DotProducts.apply(x_BFD, self.pairs, self.pair_of)
        return products_BP


def _dot_products(x_BFD: Tensor, pairs_P: Tensor) -> Tensor:
    return torch.bmm(x_BFD, x_BFD.transpose(1, 2)).flatten(1).index_select(1, pairs_P)


class _DotProducts(torch.autograd.Function):
    """With the gradients of the pairs as a symmetric matrix, one product gives that of the vectors; autograd takes two
    and scatters into zeros first."""

    @staticmethod
    def forward(ctx: Any, x_BFD: Tensor, pairs_P: Tensor, pair_of: Tensor) -> Tensor:
        ctx.save_for_backward(x_BFD, pair_of)
        return _dot_products(x_BFD, pairs_P)

    @staticmethod
    def backward(ctx: Any, gradient_BP: Tensor) -> tuple[Tensor, None, None]:
        x_BFD, pair_of = ctx.saved_tensors
        F = x_BFD.shape[1]
        if F == 1:  # no pairs
            return torch.zeros_like(x_BFD), None, None
        gradient_BFF = gradient_BP.index_select(1, pair_of).view(-1, F, F)
        gradient_BFF.diagonal(dim1=1, dim2=2).zero_()  # a vector makes no pair with itself
        return torch.bmm(gradient_BFF.to(x_BFD.dtype), x_BFD), None, None  # half precision under autocast
