"""What models share that put encoded behaviour sequences beside plain towers.

Legend: B rows, C classes, T time steps, D width of a sequence element, Q width of the query.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from google.protobuf.message import Message
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes
from tzx.runtime.models.rank.multi_tower import MultiTower
from tzx.runtime.protos.model_pb2 import SEQUENCE


class SequenceTowers(MultiTower):
    """A MultiTower with sequence towers, whose [B, width] stand beside the other towers' outputs.

    A subclass says in `tower_field` where its sequence towers are configured, and makes their encoders. The query of
    each, the plain features of its group, may be narrower than an element.
    """

    tower_field: str

    def group_types(self) -> GroupTypes:
        """The towers' inputs and the sequence groups of the sequence towers."""
        return {**super().group_types(), **{tower.input: (SEQUENCE,) for tower in self.sequence_towers}}  # type: ignore[attr-defined]

    @property
    def sequence_towers(self) -> Sequence[Message]:
        """Configs of the sequence towers."""
        return getattr(self.own, self.tower_field)  # type: ignore[no-any-return]

    @property
    def encoders(self) -> nn.ModuleList:
        """Encoders of the sequence towers."""
        return getattr(self, self.tower_field)  # type: ignore[no-any-return]

    @abstractmethod
    def make_encoder(self, tower: Message, query_dim: int, sequence_dim: int) -> nn.Module:
        """Encoder of (query [B, Q], sequence [B, T, D], lengths [B]), with its width as `out_dim`."""

    def build(self) -> None:
        """Encoder of every sequence tower, then as MultiTower."""
        self.add_module(self.tower_field, nn.ModuleList(self._make_encoder(tower) for tower in self.sequence_towers))
        super().build()

    def _make_encoder(self, tower: Message) -> nn.Module:
        groups, group = self.embedding_groups, tower.input  # type: ignore[attr-defined]
        where = f"{self.tower_field}: feature group {group!r}"
        if not groups.has_output(f"{group}.sequence"):
            raise ConfigError(f"{where} has no sequence feature")
        if not groups.has_output(f"{group}.query"):
            raise ConfigError(f"{where} has no query: list the plain features that its elements are compared with")
        try:
            return self.make_encoder(tower, groups.total_dim(f"{group}.query"), groups.total_dim(f"{group}.sequence"))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

    def tower_dims(self) -> list[int]:
        """Widths of the towers, then of the sequence towers."""
        return super().tower_dims() + [encoder.out_dim for encoder in self.encoders]  # type: ignore[misc]

    def sequences(self, groups: dict[str, Tensor]) -> Iterator[tuple[nn.Module, tuple[Tensor, Tensor, Tensor]]]:
        """Each encoder with what it reads."""
        for encoder, tower in zip(self.encoders, self.sequence_towers, strict=True):
            name = tower.input  # type: ignore[attr-defined]
            yield encoder, (groups[f"{name}.query"], groups[f"{name}.sequence"], groups[f"{name}.sequence_length"])

    def join(self, groups: dict[str, Tensor], encoded: list[Tensor]) -> Tensor:
        """Logits [B, C] of the towers and of the encoded sequences."""
        return self.output(self.final(torch.cat([*self.tower_outputs(groups), *encoded], dim=1)))

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        return self.join(groups, [encoder(*inputs) for encoder, inputs in self.sequences(groups)])
