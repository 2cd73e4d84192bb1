"""Interactions between feature vectors.

Legend: B rows, F feature vectors, D width of each.
"""

import torch
from torch import Tensor, nn


class FactorizationMachine(nn.Module):
    """Second-order factorization machine without the sum over D: ((sum of v)^2 - sum of v^2) / 2.

    Source: Rendle, Factorization Machines, lemma 3.1.
    """

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, D]."""
        square_of_sum_BD = x_BFD.sum(dim=1).square()
        sum_of_square_BD = x_BFD.square().sum(dim=1)
        return 0.5 * (square_of_sum_BD - sum_of_square_BD)


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
