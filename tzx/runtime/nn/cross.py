"""Cross networks: every layer multiplies the input into the result of the layer before.

Legend: B rows, D width, R low rank or D.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.cross_layers import CrossLayers
from tzx.runtime.nn.linear import Linear, is_for_onednn
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


class MatrixCross(nn.Module):
    """x_{l+1} = x_0 * (V_l U_l x_l + b_l) + x_l, from x_0 on; * goes element by element.

    With `low_rank` 0 a layer has one square matrix W_l in place of the two of rank R.

    Source: Wang et al. 2021, DCN V2, section 3.2, and section 3.3 for the low rank.

    Args:
        dim: D.
        config: number of layers, and R.
    """

    def __init__(self, dim: int, config: module_pb2.CrossV2) -> None:
        super().__init__()
        layers, rank = _at_least_one("cross", "cross_num", config.cross_num), config.low_rank
        self.down = nn.ModuleList(Linear(dim, rank, bias=False) for _ in range(layers if rank else 0))
        self.up = nn.ModuleList(Linear(rank or dim, dim) for _ in range(layers))
        self.out_dim = dim

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to [B, D]."""
        if x_BD.dim() == 2 and is_for_onednn(x_BD, next(self.parameters())):
            crossed_BD: Tensor = CrossLayers.apply(x_BD, len(self.down) > 0, *self._in_order())
            return crossed_BD
        first_BD = x_BD
        for i, up in enumerate(self.up):
            hidden_BR = self.down[i](x_BD) if self.down else x_BD
            x_BD = first_BD * up(hidden_BR) + x_BD
        return x_BD

    def _in_order(self) -> list[Tensor]:
        """Parameters, layer by layer."""
        layers = zip(self.down, self.up, strict=True) if self.down else zip(self.up, strict=True)
        return [p for layer in layers for linear in layer for p in linear.parameters()]


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
