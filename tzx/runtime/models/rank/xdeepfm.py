"""xDeepFM: a compressed interaction network beside a deep network. Legend: B rows, C classes, F features, D width."""

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.cin import CompressedInteraction
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import DEEP, WIDE


class xDeepFM(RankModel):
    """Lian et al. 2018, "xDeepFM: Combining Explicit and Implicit Feature Interactions ...", sections 3.1 and 3.2.

    CIN of the `wide` embeddings [F, D], D being wide_embedding_dim, and MLP(`deep`) go through the final MLP and a
    linear layer.
    """

    def group_types(self) -> GroupTypes:
        """`wide` and `deep`."""
        return {"wide": (WIDE,), "deep": (DEEP,)}

    def build(self) -> None:
        """CIN, deep and final layers."""
        self.dim = self.equal_dim("wide")
        self.cin = CompressedInteraction(self.embedding_groups.total_dim("wide") // self.dim, self.own.cin)
        self.deep = MLP(self.embedding_groups.total_dim("deep"), self.own.deep)
        self.final = MLP(self.cin.out_dim + self.deep.out_dim, self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        cin = self.cin(groups["wide"].unflatten(1, (-1, self.dim)))
        return self.output(self.final(torch.cat([cin, self.deep(groups["deep"])], dim=1)))
