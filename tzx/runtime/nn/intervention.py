"""A low-rank correction of one representation by others.

Legend: B rows, D width of the base, S width of the source, R low rank.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError


class Orthonormal(nn.Module):
    """A matrix whose columns, or rows if it is wide, are orthonormal: Q of the QR decomposition of free parameters.

    Args:
        rows: number of rows.
        columns: number of columns.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.wide = columns > rows
        self.weight = nn.Parameter(torch.empty(max(rows, columns), min(rows, columns)))
        nn.init.orthogonal_(self.weight)

    def forward(self) -> Tensor:
        """The matrix, float32 [rows, columns]."""
        q, r = torch.linalg.qr(self.weight.float())
        q = q * torch.sign(r.diagonal())  # makes Q unique, so that it does not jump between steps
        return q.transpose(0, 1) if self.wide else q


class Intervention(nn.Module):
    """b + (b R_b - s R_s) R_b^T, then dropout; no gradient into s.

    Args:
        base_dim: D, which must exceed R.
        source_dim: S.
        rank: R.
        dropout: share of the result that is dropped in training.
    """

    def __init__(self, base_dim: int, source_dim: int, rank: int, dropout: float) -> None:
        super().__init__()
        if not 1 <= rank < base_dim:
            raise ConfigError(f"low_rank_dim is {rank}; it must be at least 1 and below the tower's width {base_dim}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout_ratio {dropout:g} is not in [0, 1)")
        self.base, self.source = Orthonormal(base_dim, rank), Orthonormal(source_dim, rank)
        self.dropout = nn.Dropout(dropout)

    def forward(self, base_BD: Tensor, source_BS: Tensor) -> Tensor:
        """[B, D] and [B, S] to [B, D]."""
        rotation_DR = self.base()
        difference_BR = base_BD @ rotation_DR - source_BS.detach() @ self.source()
        return self.dropout(difference_BR @ rotation_DR.transpose(0, 1) + base_BD)
