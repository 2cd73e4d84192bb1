"""DLRM: dot products of all pairs of embeddings. Legend: B rows, C classes, F vectors, D width of each of them."""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.rank.vectors import VectorModel
from tzx.runtime.nn.interaction import DotInteraction
from tzx.runtime.nn.mlp import MLP


class DLRM(VectorModel):
    """Naumov et al. 2019, "Deep Learning Recommendation Model for Personalization and ...", section 2.

    The dense features' MLP gives one more vector of width D; the upper triangle of X X^T over all vectors X [F, D]
    (the dense one first) goes with the dense vector and, with `arch_with_sparse`, the embeddings into the final MLP and
    a linear layer.
    """

    def build(self) -> None:
        """Dense MLP, interaction and final layers."""
        super().build()
        self.interaction = DotInteraction(self.num_vectors)
        self.kept = self.num_vectors if self.own.arch_with_sparse else self.num_dense
        width = self.interaction.out_dim + self.kept * self.dim
        if width == 0:
            raise ConfigError(f"feature group {self.sparse_group!r} has one feature: no pair to interact; add features")
        self.final = MLP(width, self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BFD = self.vectors(groups)
        joined = torch.cat([self.interaction(x_BFD), x_BFD[:, : self.kept].flatten(1)], dim=1)
        return self.output(self.final(joined))
