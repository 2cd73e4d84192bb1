"""MaskNet blocks: every block multiplies its input by a mask made from the whole instance.

Legend: B rows, E width of the embeddings, D width of a block's input, H hidden width.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2


class MaskBlock(nn.Module):
    """relu(layernorm(W (mask * x))) with mask = W_2 relu(W_1 e + b_1) + b_2.

    Source: Wang et al. 2021, MaskNet, sections 3.2 and 3.3.

    Args:
        dim: D.
        mask_dim: E.
        config: H, and the width between W_1 and W_2: int(E * reduction_ratio), or aggregation_dim where that is 0.
    """

    def __init__(self, dim: int, mask_dim: int, config: module_pb2.MaskBlock) -> None:
        super().__init__()
        ratio = config.reduction_ratio
        between = int(mask_dim * ratio) if ratio else config.aggregation_dim
        if between < 1:
            given = f"reduction_ratio {ratio:g} of {mask_dim}" if ratio else f"aggregation_dim {between}"
            raise ConfigError(f"mask_block: {given} leaves {between} units to make masks from; at least 1 is needed")
        if config.hidden_dim < 1:
            raise ConfigError(f"mask_block: hidden_dim is {config.hidden_dim}; allowed: 1 or more")
        self.mask = nn.Sequential(nn.Linear(mask_dim, between), nn.ReLU(), nn.Linear(between, dim))
        self.hidden = nn.Linear(dim, config.hidden_dim, bias=False)
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.out_dim: int = config.hidden_dim

    def forward(self, x_BD: Tensor, e_BE: Tensor) -> Tensor:
        """Input [B, D] and embeddings [B, E] to [B, H]."""
        return torch.relu(self.norm(self.hidden(self.mask(e_BE) * x_BD)))


class MaskNetBlocks(nn.Module):
    """Mask blocks side by side, each on layernorm(e), or one after the other; then the top MLP, if there is one.

    Source: Wang et al. 2021, MaskNet, section 3.4.

    Args:
        dim: E.
        config: number and kind of blocks, their order, and the top MLP.
    """

    def __init__(self, dim: int, config: module_pb2.MaskNetModule) -> None:
        super().__init__()
        count, block = config.n_mask_blocks, config.mask_block
        if count < 1:
            raise ConfigError(f"n_mask_blocks is {count}; allowed: 1 or more")
        self.parallel = config.use_parallel
        self.norm = nn.LayerNorm(dim)
        inputs = [dim if self.parallel or i == 0 else block.hidden_dim for i in range(count)]
        self.blocks = nn.ModuleList(MaskBlock(width, dim, block) for width in inputs)
        width = block.hidden_dim * (count if self.parallel else 1)
        self.top = MLP(width, config.top_mlp) if config.HasField("top_mlp") else None
        self.out_dim: int = self.top.out_dim if self.top else width

    def forward(self, e_BE: Tensor) -> Tensor:
        """[B, E] to [B, out_dim]."""
        x = self.norm(e_BE)
        if self.parallel:
            x = torch.cat([block(x, e_BE) for block in self.blocks], dim=1)
        else:
            for block in self.blocks:
                x = block(x, e_BE)
        return x if self.top is None else self.top(x)
