"""What joins two networks that look at the same features.

Legend: B rows, D width of the features, X width of the context, C classes, H heads, I and J widths of a head.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2


class FeatureGate(nn.Module):
    """x * 2 sigmoid(Linear(MLP(context))): which features a stream sees, and how much of them.

    Source: Mao et al. 2023, FinalMLP, "Stream-Specific Feature Selection".

    Args:
        dim: D.
        context_dim: X, or None for a context that is learned: a vector as wide as the first layer of the gate.
        config: the layers before the Linear.
    """

    def __init__(self, dim: int, context_dim: int | None, config: module_pb2.MLP) -> None:
        super().__init__()
        learned = config.hidden_units[0] if config.hidden_units else dim
        self.context = nn.Parameter(torch.randn(learned) * learned**-0.5) if context_dim is None else None
        self.mlp = MLP(learned if context_dim is None else context_dim, config)
        self.output = nn.Linear(self.mlp.out_dim, dim)

    def forward(self, x_BD: Tensor, context_BX: Tensor | None) -> Tensor:
        """Features [B, D] and, unless it is learned, context [B, X] to [B, D]."""
        context = self.context.unsqueeze(0) if self.context is not None else context_BX
        return x_BD * 2 * torch.sigmoid(self.output(self.mlp(context)))


class BilinearFusion(nn.Module):
    """b + w_1 . o_1 + w_2 . o_2 + the sum over heads of o_1^h W^h o_2^h, both streams being cut into heads.

    Source: Mao et al. 2023, FinalMLP, "Stream-Level Interaction Aggregation".

    Args:
        dims: widths of the streams.
        num_heads: H, which divides both.
        num_class: C.
    """

    def __init__(self, dims: tuple[int, int], num_heads: int, num_class: int) -> None:
        super().__init__()
        if num_heads < 1 or any(dim % num_heads for dim in dims):
            raise ConfigError(
                f"num_heads is {num_heads}; it must divide the widths of both streams, {dims[0]} and {dims[1]}"
            )
        self.num_heads = num_heads
        self.first, self.second = nn.Linear(dims[0], num_class), nn.Linear(dims[1], num_class, bias=False)
        self.weight = nn.Parameter(torch.empty(num_class, num_heads, *(dim // num_heads for dim in dims)))
        nn.init.normal_(self.weight, std=(2 / sum(self.weight.shape[2:])) ** 0.5)  # Glorot, of each matrix

    def forward(self, x_BD: Tensor, y_BD: Tensor) -> Tensor:
        """Both streams to [B, C]."""
        x_BHI, y_BHJ = (stream.unflatten(1, (self.num_heads, -1)) for stream in (x_BD, y_BD))
        product_BC = torch.einsum("bhi,chij,bhj->bc", x_BHI, self.weight, y_BHJ)
        return self.first(x_BD) + self.second(y_BD) + product_BC
