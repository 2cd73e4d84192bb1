"""Wide & Deep: first-order weights beside a deep network. Legend: B rows, C classes."""

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import DEEP, WIDE


class WideAndDeep(RankModel):
    """Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems", section 3.

    wide = sum of the first-order weights; deep = MLP. With `final`: MLP of [wide, deep], then a linear layer; without:
    wide + linear(deep).
    """

    def group_types(self) -> GroupTypes:
        """`wide` and `deep`."""
        return {"wide": (WIDE,), "deep": (DEEP,)}

    def build(self) -> None:
        """Deep and final layers."""
        self.deep = MLP(self.embedding_groups.total_dim("deep"), self.own.deep)
        self.final = MLP(1 + self.deep.out_dim, self.own.final) if self.own.HasField("final") else None
        self.output = nn.Linear(self.final.out_dim if self.final else self.deep.out_dim, self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        wide_B1 = groups["wide"].sum(dim=1, keepdim=True)
        deep = self.deep(groups["deep"])
        if self.final is not None:
            return self.output(self.final(torch.cat([wide_B1, deep], dim=1)))
        return wide_B1 + self.output(deep)
