"""A layer of WuKong: interactions of twice the degree of its input, and as many linear combinations.

Legend: B rows, F vectors in, D width of each, C compressed vectors, O vectors out.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2


class WuKongLayer(nn.Module):
    """layernorm([FMB(X), LCB(X)] + X), X going through a linear map where the number of vectors changes.

    FMB = vectors made by linear(MLP(layernorm(X (X^T Y)))), Y [F, C]; LCB = linear combinations of the vectors of X.

    Source: Zhang et al. 2024, Wukong: Towards a Scaling Law for Large-Scale Recommendation, sections 3.3 to 3.6.

    Args:
        num_features: F.
        dim: D.
        config: vectors of both parts, C, and the MLP of the first.
    """

    def __init__(self, num_features: int, dim: int, config: module_pb2.WuKongLayer) -> None:
        super().__init__()
        for field in ("lcb_feature_num", "fmb_feature_num", "compressed_feature_num"):
            if getattr(config, field) < 1:
                raise ConfigError(f"{field} is {getattr(config, field)}; allowed: 1 or more")
        compressed, self.fmb_vectors = config.compressed_feature_num, config.fmb_feature_num
        self.out_features: int = config.lcb_feature_num + config.fmb_feature_num
        self.compress = nn.Linear(num_features, compressed, bias=False)
        self.fm_norm = nn.LayerNorm(num_features * compressed)
        self.fm_mlp = MLP(num_features * compressed, config.feature_num_mlp)
        self.fm_output = nn.Linear(self.fm_mlp.out_dim, config.fmb_feature_num * dim)
        self.combine = nn.Linear(num_features, config.lcb_feature_num, bias=False)
        changes = num_features != self.out_features
        self.residual = nn.Linear(num_features, self.out_features, bias=False) if changes else None
        self.norm = nn.LayerNorm(dim)

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, O, D]."""
        x_BDF = x_BFD.transpose(1, 2)
        interactions = torch.bmm(x_BFD, self.compress(x_BDF)).flatten(1)
        fmb = self.fm_output(self.fm_mlp(self.fm_norm(interactions))).unflatten(1, (self.fmb_vectors, -1))
        lcb = self.combine(x_BDF).transpose(1, 2)
        kept = x_BFD if self.residual is None else self.residual(x_BDF).transpose(1, 2)
        return self.norm(torch.cat([fmb, lcb], dim=1) + kept)
