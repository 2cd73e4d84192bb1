"""DCNV2: low-rank feature crosses beside a deep network. Legend: B rows, C classes, D width of the group."""

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.cross import MatrixCross
from tzx.runtime.nn.mlp import MLP


class DCNV2(RankModel):
    """Wang et al. 2021, "DCN V2: Improved Deep & Cross Network and Practical Lessons ...", sections 3.1 to 3.3.

    x_0 = backbone(group) or the group; x_{l+1} = x_0 * (V_l U_l x_l + b_l) + x_l; the last x and, with `deep`,
    MLP(group) go through the final MLP and a linear layer without bias.
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Backbone, cross, deep and final layers."""
        (self.group,) = self.group_types()
        width = self.embedding_groups.total_dim(self.group)
        self.backbone = MLP(width, self.own.backbone) if self.own.HasField("backbone") else None
        self.cross = MatrixCross(self.backbone.out_dim if self.backbone else width, self.own.cross)
        self.deep = MLP(width, self.own.deep) if self.own.HasField("deep") else None
        self.final = MLP(self.cross.out_dim + (self.deep.out_dim if self.deep else 0), self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class, bias=False)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BD = groups[self.group]
        crossed = self.cross(x_BD if self.backbone is None else self.backbone(x_BD))
        if self.deep is not None:
            crossed = torch.cat([crossed, self.deep(x_BD)], dim=1)
        return self.output(self.final(crossed))
