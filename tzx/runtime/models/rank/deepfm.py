"""DeepFM: a wide part, a factorization machine and a deep network over the same embeddings.

Legend: B rows, C classes, F features, D width of each of them.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.interaction import FactorizationMachine
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import DEEP, WIDE


class DeepFM(RankModel):
    """Guo et al. 2017, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", section 2.1.

    wide = sum of the first-order weights; fm = (square of sum - sum of squares) / 2 over the embeddings [F, D];
    deep = MLP. With `final`: MLP of [wide, fm, deep], then a linear layer; without: wide + sum of fm + linear(deep).
    """

    def group_types(self) -> GroupTypes:
        """`wide` and `deep`; `fm` when its features are not those of `deep`."""
        fm = {"fm": (DEEP,)} if self.has_group("fm") else {}
        return {"wide": (WIDE,), "deep": (DEEP,), **fm}

    def build(self) -> None:
        """Deep and final layers."""
        self.fm_group = "fm" if self.has_group("fm") else "deep"
        self.fm_dim = self.equal_dim(self.fm_group)
        self.fm = FactorizationMachine()
        self.deep = MLP(self.embedding_groups.total_dim("deep"), self.own.deep)
        self.final = MLP(1 + self.fm_dim + self.deep.out_dim, self.own.final) if self.own.HasField("final") else None
        self.output = nn.Linear(self.final.out_dim if self.final else self.deep.out_dim, self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        wide_B1 = groups["wide"].sum(dim=1, keepdim=True)
        fm_BD = self.fm(groups[self.fm_group].unflatten(1, (-1, self.fm_dim)))
        deep = self.deep(groups["deep"])
        if self.final is not None:
            return self.output(self.final(torch.cat([wide_B1, fm_BD, deep], dim=1)))
        return wide_B1 + fm_BD.sum(dim=1, keepdim=True) + self.output(deep)
