"""DBMTL: towers that see what earlier towers have made of the row. Legend: B rows, C classes."""

import logging

import torch
from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.shared_bottom import SharedBottom, earlier_towers
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.tower_pb2 import BayesTaskTower

logger = logging.getLogger("tzx")


class DBMTL(MultiTaskModel):
    """Wang et al. 2019, "Deep Bayesian Multi-Target Learning for Recommender Systems", section 3.

    [mask net], [bottom MLP], [experts mixed per task], then for each tower in order h = [MLP], and with `relation_mlp`
    r = relation_mlp([h, r of the towers in `relation_tower_names`]), else r = h; logits = linear(r).
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Shared bottom, then MLP, relation MLP and output of each tower."""
        (self.group,) = self.group_types()
        towers = self.own.task_towers
        self.bottom = SharedBottom(self.embedding_groups.total_dim(self.group), self.own, len(towers))
        self.mlps, self.relation_mlps, self.outputs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.relations: list[list[int]] = []
        widths: list[int] = []
        for i, tower in enumerate(towers):
            mlp = MLP(self.bottom.out_dim, tower.mlp)  # without hidden units when the tower has no mlp
            earlier = earlier_towers(tower.relation_tower_names, "relation_tower_names", i, towers)
            self.relations.append(earlier if tower.HasField("relation_mlp") else [])
            relation = MLP(mlp.out_dim + sum(widths[k] for k in self.relations[i]), tower.relation_mlp)
            widths.append(relation.out_dim)
            self.mlps.append(mlp)
            self.relation_mlps.append(relation)
            self.outputs.append(nn.Linear(relation.out_dim, tower.num_class))
            self._warn_without_relation(tower)

    def _warn_without_relation(self, tower: BayesTaskTower) -> None:
        if tower.relation_tower_names and not tower.HasField("relation_mlp"):
            logger.warning(
                "%s: relation_tower_names of tower %s have no effect without relation_mlp", self.where, tower.tower_name
            )

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task."""
        inputs, related = self.bottom(groups[self.group]), list[Tensor]()
        for x, mlp, relation_mlp, earlier in zip(inputs, self.mlps, self.relation_mlps, self.relations, strict=True):
            related.append(relation_mlp(torch.cat([mlp(x), *(related[k] for k in earlier)], dim=1)))
        return [output(r) for output, r in zip(self.outputs, related, strict=True)]
