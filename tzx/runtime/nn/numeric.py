"""Vectors for numbers. Legend: B rows, F features, V numbers of each, C channels, D width."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AutoDis(nn.Module):
    """One number as a soft choice among C learned vectors.

    h = leaky_relu(x w), s = W h + keep h; the result is softmax(s / temperature) over the channels times the vectors.

    Source: Guo et al. 2021, An Embedding Learning Framework for Numerical Features in CTR Prediction, section 3.2.

    Args:
        features: F, each with parameters of its own.
        dim: D.
        channels: C.
        temperature: above 0; the lower, the harder the choice.
        keep: share of h that skips the mixing of channels.
    """

    def __init__(self, features: int, dim: int, channels: int, temperature: float, keep: float) -> None:
        super().__init__()
        self.temperature, self.keep = temperature, keep
        self.project_FC = nn.Parameter(torch.randn(features, channels) * (2 / (1 + channels)) ** 0.5)
        self.mix_FCC = nn.Parameter(torch.randn(features, channels, channels) * (1 / channels) ** 0.5)
        self.vectors_FCD = nn.Parameter(torch.randn(features, channels, dim))

    def forward(self, x_BFV: Tensor) -> Tensor:
        """[B, F, 1] to [B, F, D]."""
        h_FBC = F.leaky_relu(x_BFV * self.project_FC).transpose(0, 1)
        score_FBC = torch.bmm(h_FBC, self.mix_FCC.transpose(1, 2)) + self.keep * h_FBC
        return torch.bmm(torch.softmax(score_FBC / self.temperature, dim=2), self.vectors_FCD).transpose(0, 1)


class NumberProjection(nn.Module):
    """The numbers of a feature times a matrix of its own, without bias.

    Args:
        features: F.
        numbers: V.
        dim: D.
    """

    def __init__(self, features: int, numbers: int, dim: int) -> None:
        super().__init__()
        self.weight_FVD = nn.Parameter(torch.randn(features, numbers, dim) * (2 / (numbers + dim)) ** 0.5)

    def forward(self, x_BFV: Tensor) -> Tensor:
        """[B, F, V] to [B, F, D]."""
        return torch.bmm(x_BFV.transpose(0, 1), self.weight_FVD).transpose(0, 1)


def positions(starts: Sequence[int], numbers: int) -> Tensor:
    """Columns of V numbers each, beginning at `starts`, int64 [F * V]."""
    return (torch.tensor(starts).unsqueeze(1) + torch.arange(numbers)).flatten()
