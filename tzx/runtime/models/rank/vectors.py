"""What models share that see a row as vectors of one width: embeddings, and one vector made of all numbers.

Legend: B rows, F vectors, D width of each of them.
"""

import logging

import torch
from torch import Tensor

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import DEEP

logger = logging.getLogger("tzx")


class VectorModel(RankModel):
    """A model of the embeddings of `sparse`, or of the only group, and of dense_mlp(`dense`)."""

    def group_types(self) -> GroupTypes:
        """The only group, or `sparse` and, if there, `dense`."""
        if len(self.config.feature_groups) == 1:
            return self.first_group()
        return {"sparse": (DEEP,), **({"dense": (DEEP,)} if self.has_group("dense") else {})}

    def build(self) -> None:
        """The dense MLP; `dim`, `num_vectors` and `num_dense` (0 or 1) say what `vectors` will give."""
        self.sparse_group, *others = self.group_types()
        has_dense = "dense" in others
        if self.group_config(self.sparse_group).sequence_encoders:
            raise ConfigError(
                f"feature group {self.sparse_group!r} has sequence_encoders, whose outputs cannot interact"
            )
        self.dim = self.equal_dim(self.sparse_group)
        self.num_dense = int(has_dense)
        self.num_vectors = self.embedding_groups.total_dim(self.sparse_group) // self.dim + self.num_dense
        self.dense_mlp = self._make_dense_mlp() if has_dense else None
        if not has_dense and self.own.HasField("dense_mlp"):
            logger.warning("%s.dense_mlp is not used: there is no feature group 'dense'", self.where)

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

    def vectors(self, groups: dict[str, Tensor]) -> Tensor:
        """All vectors [B, F, D], the dense one first."""
        dense = [] if self.dense_mlp is None else [self.dense_mlp(groups["dense"])]
        return torch.cat([*dense, groups[self.sparse_group]], dim=1).unflatten(1, (-1, self.dim))
