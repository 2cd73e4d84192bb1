"""DCNV1: feature crosses beside a deep network. Legend: B rows, C classes, D width of the group."""

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.cross import VectorCross
from tzx.runtime.nn.mlp import MLP


class DCNV1(RankModel):
    """Wang et al. 2017, "Deep & Cross Network for Ad Click Predictions", sections 2.2 to 2.4.

    x_0 = the group; x_{l+1} = x_0 (w_l . x_l) + b_l + x_l; the last x and MLP(group) go through the final MLP and a
    linear layer without bias.
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Cross, deep and final layers."""
        (self.group,) = self.group_types()
        width = self.embedding_groups.total_dim(self.group)
        self.cross = VectorCross(width, self.own.cross)
        self.deep = MLP(width, self.own.deep)
        self.final = MLP(width + self.deep.out_dim, self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class, bias=False)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BD = groups[self.group]
        return self.output(self.final(torch.cat([self.cross(x_BD), self.deep(x_BD)], dim=1)))
