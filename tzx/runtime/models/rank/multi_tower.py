"""MultiTower: one network per feature group, joined at the end. Legend: B rows, C classes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import DEEP, WIDE
from tzx.runtime.protos.tower_pb2 import Tower


class MultiTower(RankModel):
    """One MLP per feature group; late fusion as in Huang et al. 2013, "Learning Deep Structured Semantic Models".

    Concatenation of the towers' MLPs (a tower without `mlp` passes its group on), final MLP, linear layer.
    """

    def group_types(self) -> GroupTypes:
        """The towers' inputs."""
        return {tower.input: (DEEP, WIDE) for tower in self.own.towers}

    def build(self) -> None:
        """Towers and final layers."""
        self.towers = self.make_towers(self.own.towers)
        width = sum(self.tower_dims())
        self.final = MLP(width, self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class)

    def make_towers(self, towers: Sequence[Tower]) -> nn.ModuleList:
        """MLP of every tower; Identity where it has none."""
        dims = [self.embedding_groups.total_dim(tower.input) for tower in towers]
        return nn.ModuleList(
            MLP(dim, t.mlp) if t.HasField("mlp") else nn.Identity() for dim, t in zip(dims, towers, strict=True)
        )

    def tower_dims(self) -> list[int]:
        """Width that each tower adds to the final MLP's input."""
        return [
            module.out_dim if isinstance(module, MLP) else self.embedding_groups.total_dim(tower.input)
            for module, tower in zip(self.towers, self.own.towers, strict=True)
        ]

    def tower_outputs(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """[B, width] of every tower."""
        return [module(groups[tower.input]) for module, tower in zip(self.towers, self.own.towers, strict=True)]

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        return self.output(self.final(torch.cat(self.tower_outputs(groups), dim=1)))
