"""Cross networks: every layer multiplies the input into the result of the layer before.

Legend: B rows, D width, R low rank.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.linear import Linear
from tzx.runtime.protos import module_pb2


class VectorCross(nn.Module):
    """x_{l+1} = x_0 (w_l . x_l) + b_l + x_l, from x_0 on.

    Source: Wang et al. 2017, Deep & Cross Network for Ad Click Predictions, section 2.2.

    Args:
        dim: D.
        config: number of layers.
    """

    def __init__(self, dim: int, config: module_pb2.Cross) -> None:
        super().__init__()
        layers = _at_least_one("cross", "cross_num", config.cross_num)
        self.weight = nn.Parameter(torch.empty(layers, dim))
        self.bias = nn.Parameter(torch.zeros(layers, dim))
        nn.init.normal_(self.weight, std=(2 / (1 + dim)) ** 0.5)  # Glorot, of one linear unit per layer
        self.out_dim = dim

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to [B, D]."""
        first_BD = x_BD
        for weight_D, bias_D in zip(self.weight, self.bias, strict=True):
            x_BD = first_BD * (x_BD @ weight_D).unsqueeze(1) + bias_D + x_BD
        return x_BD


class LowRankCross(nn.Module):
    """x_{l+1} = x_0 * (V_l U_l x_l + b_l) + x_l, from x_0 on; * goes element by element.

    Source: Wang et al. 2021, DCN V2, section 3.2 with the low-rank kernel of section 3.3.

    Args:
        dim: D.
        config: number of layers, and R.
    """

    def __init__(self, dim: int, config: module_pb2.CrossV2) -> None:
        super().__init__()
        layers = _at_least_one("cross", "cross_num", config.cross_num)
        rank = _at_least_one("cross", "low_rank", config.low_rank)
        self.down = nn.ModuleList(Linear(dim, rank, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(Linear(rank, dim) for _ in range(layers))
        self.out_dim = dim

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to [B, D]."""
        first_BD = x_BD
        for down, up in zip(self.down, self.up, strict=True):
            x_BD = first_BD * up(down(x_BD)) + x_BD
        return x_BD


class GatedCross(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) * sigmoid(G_l x_l) + x_l, from x_0 on; * goes element by element.

    Source: Wang et al. 2023, Towards Deeper, Lighter and Interpretable Cross Network, section 3.2.

    Args:
        dim: D.
        config: number of layers.
    """

    def __init__(self, dim: int, config: module_pb2.Cross) -> None:
        super().__init__()
        layers = _at_least_one("cross", "cross_num", config.cross_num)
        self.crosses = nn.ModuleList(Linear(dim, dim) for _ in range(layers))
        self.gates = nn.ModuleList(Linear(dim, dim, bias=False) for _ in range(layers))
        self.out_dim = dim

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to [B, D]."""
        first_BD = x_BD
        for cross, gate in zip(self.crosses, self.gates, strict=True):
            x_BD = first_BD * cross(x_BD) * torch.sigmoid(gate(x_BD)) + x_BD
        return x_BD


def _at_least_one(where: str, field: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{where}: {field} is {value}; allowed: 1 or more")
    return value
