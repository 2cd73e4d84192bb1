"""DLRM: dot products of all pairs of embeddings. Legend: B rows, C classes, F features, D width of each of them."""

import logging

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.interaction import DotInteraction
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import DEEP

logger = logging.getLogger("tzx")


class DLRM(RankModel):
    """Naumov et al. 2019, "Deep Learning Recommendation Model for Personalization and ...", section 2.

    The dense features' MLP gives one more vector of width D; the upper triangle of X X^T over all vectors X [F, D]
    (the dense one first) goes with the dense vector and, with `arch_with_sparse`, the embeddings into the final MLP and
    a linear layer.
    """

    def group_types(self) -> GroupTypes:
        """The only group, or `sparse` and, if there, `dense`."""
        if len(self.config.feature_groups) == 1:
            return {self.config.feature_groups[0].group_name: (DEEP,)}
        return {"sparse": (DEEP,), **({"dense": (DEEP,)} if self.has_group("dense") else {})}

    def build(self) -> None:
        """Dense MLP, interaction and final layers."""
        self.sparse_group, *dense = self.group_types()
        if self.group_config(self.sparse_group).sequence_encoders:
            raise ConfigError(
                f"feature group {self.sparse_group!r} has sequence_encoders, whose outputs cannot interact"
            )
        self.dim = self.equal_dim(self.sparse_group)
        sparse_width = self.embedding_groups.total_dim(self.sparse_group)
        self.dense_mlp = self._make_dense_mlp() if dense else None
        if not dense and self.own.HasField("dense_mlp"):
            logger.warning("%s.dense_mlp is not used: there is no feature group 'dense'", self.where)
        self.interaction = DotInteraction(sparse_width // self.dim + len(dense))
        width = self.interaction.out_dim + self.dim * len(dense) + sparse_width * self.own.arch_with_sparse
        if width == 0:
            raise ConfigError(f"feature group {self.sparse_group!r} has one feature: no pair to interact; add features")
        self.final = MLP(width, self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class)

    def _make_dense_mlp(self) -> MLP:
        if not self.own.HasField("dense_mlp"):
            raise ConfigError(f"dense_mlp is missing; feature group 'dense' needs one ending with {self.dim} units")
        mlp = MLP(self.embedding_groups.total_dim("dense"), self.own.dense_mlp)
        if mlp.out_dim != self.dim:
            raise ConfigError(
                f"dense_mlp must end with {self.dim} units, the embedding_dim of group {self.sparse_group!r}; "
                f"given {mlp.out_dim}"
            )
        return mlp

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        sparse = groups[self.sparse_group]
        dense = [] if self.dense_mlp is None else [self.dense_mlp(groups["dense"])]
        x_BFD = torch.cat([*dense, sparse], dim=1).unflatten(1, (-1, self.dim))
        joined = [self.interaction(x_BFD), *dense, *([sparse] if self.own.arch_with_sparse else [])]
        return self.output(self.final(torch.cat(joined, dim=1)))
