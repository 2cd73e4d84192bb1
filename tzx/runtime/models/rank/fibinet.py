"""FiBiNET: bilinear products of features, as they are and weighed by importance.

Legend: B rows, C classes, F vectors, D width of each of them.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes
from tzx.runtime.models.rank.vectors import VectorModel
from tzx.runtime.nn.bilinear import BilinearInteraction, SqueezeExcitation
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import WIDE


class FiBiNET(VectorModel):
    """Huang et al. 2019, "FiBiNET: Combining Feature Importance and Bilinear feature Interaction ...", section 3.

    p = bilinear(X), q = bilinear(squeeze-excitation(X)) of the vectors X of a row, the dense one first, with the same
    matrices; linear(MLP([p, q])), and the sum of `wide` where that group is there.
    """

    def group_types(self) -> GroupTypes:
        """The only group, or `sparse` and, if there, `dense` and `wide`."""
        wide = {"wide": (WIDE,)} if self.has_group("wide") else {}
        return {**super().group_types(), **wide}

    def build(self) -> None:
        """Dense MLP, squeeze-excitation, bilinear products and deep layers."""
        super().build()
        if self.num_vectors < 2:
            raise ConfigError(f"feature group {self.sparse_group!r} has one feature: no pair to interact")
        self.importance = SqueezeExcitation(self.num_vectors, self.own.reduction_ratio)
        self.bilinear = BilinearInteraction(self.num_vectors, self.dim, self.own.bilinear_type)
        self.deep = MLP(2 * self.bilinear.out_dim, self.own.deep)
        self.output = nn.Linear(self.deep.out_dim, self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BFD = self.vectors(groups)
        p, q = self.bilinear(x_BFD), self.bilinear(self.importance(x_BFD))
        logits_BC = self.output(self.deep(torch.cat([p, q], dim=1)))
        return logits_BC + groups["wide"].sum(dim=1, keepdim=True) if "wide" in groups else logits_BC
