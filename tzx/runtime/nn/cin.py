"""Compressed interaction network. Legend: B rows, F features, D width of each, H maps of a layer."""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import module_pb2


class CompressedInteraction(nn.Module):
    """Layers of vector-wise products with the input; each map is summed over D.

    x^k_h = sum over i, j of W^k_hij (x^{k-1}_i * x^0_j) + b^k_h, without activation.

    Source: Lian et al. 2018, xDeepFM, section 3.1.

    Args:
        num_features: F.
        config: H of each layer.
    """

    def __init__(self, num_features: int, config: module_pb2.CIN) -> None:
        super().__init__()
        sizes = list(config.cin_layer_size)
        if not sizes or min(sizes) < 1:
            raise ConfigError(f"cin: cin_layer_size is {sizes}; give the number of maps of each layer, 1 or more")
        self.layers = nn.ModuleList(
            nn.Conv1d(maps * num_features, out, kernel_size=1)
            for maps, out in zip([num_features, *sizes], sizes, strict=False)
        )
        self.out_dim: int = sum(sizes)

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, sum of H]."""
        maps_BHD, pooled = x_BFD, []
        for layer in self.layers:
            products_BHFD = maps_BHD.unsqueeze(2) * x_BFD.unsqueeze(1)
            maps_BHD = layer(products_BHFD.flatten(1, 2))
            pooled.append(maps_BHD.sum(dim=2))
        return torch.cat(pooled, dim=1)
