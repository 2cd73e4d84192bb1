"""STEM: embeddings of each task beside shared ones. Legend: B rows, C classes, D width of the group, H expert width."""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.task_tower import TaskTower
from tzx.runtime.models.problems import Problems
from tzx.runtime.nn.experts import make_gate
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.model_pb2 import FeatureGroupConfig


class STEM(MultiTaskModel):
    """Su et al. 2024, "STEM: Unleashing the Power of Embeddings for Multi-task Recommendation", "STEM-Net".

    Every task has embedding tables of its own beside the shared ones, and experts on each of them. The input of a
    task's tower = sum of softmax(linear(gate_mlp(x) or x)) times expert over all experts, x being the task's own
    embeddings: forward from all tasks, backward only into the task's own experts and the shared ones.
    """

    def group_types(self) -> GroupTypes:
        """The first group, of which every task gets a copy."""
        return self.first_group()

    def _used_groups(self, problems: Problems) -> list[FeatureGroupConfig]:
        groups = super()._used_groups(problems)
        own = [_copy(group, tower.tower_name) for group in groups for tower in self.own.task_towers]
        return own + groups if self.own.share_num else own

    def build(self) -> None:
        """Experts of each task and shared ones, gates and towers."""
        (shared,) = self.group_types()
        towers, own, common = self.own.task_towers, self.own.expert_num_per_task, self.own.share_num
        if own < 1:
            raise ConfigError(f"expert_num_per_task is {own}; allowed: 1 or more")
        self.groups = [_name(shared, tower.tower_name) for tower in towers] + [shared] * bool(common)
        counts = [own for _ in towers] + [common] * bool(common)
        width = self.embedding_groups.total_dim(self.groups[0])
        self.experts = nn.ModuleList(
            nn.ModuleList(MLP(width, self.own.expert_mlp) for _ in range(count)) for count in counts
        )
        gate = self.own.gate_mlp if self.own.HasField("gate_mlp") else None
        self.gates = nn.ModuleList(make_gate(width, sum(counts), gate) for _ in towers)
        expert_dim: int = self.experts[0][0].out_dim  # type: ignore[index, assignment]
        self.task_towers = nn.ModuleList(TaskTower(expert_dim, tower) for tower in towers)

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task."""
        inputs = [groups[name] for name in self.groups]
        made = [
            [expert(x_BD) for expert in experts.children()] for x_BD, experts in zip(inputs, self.experts, strict=True)
        ]
        logits = []
        for task, (gate, tower) in enumerate(zip(self.gates, self.task_towers, strict=True)):
            teaches = (task, len(self.task_towers))  # own experts, shared experts
            outputs = [out if i in teaches else out.detach() for i, outs in enumerate(made) for out in outs]
            weights_B1E = torch.softmax(gate(inputs[task]), dim=1).unsqueeze(1)
            logits.append(tower(torch.bmm(weights_B1E, torch.stack(outputs, dim=1)).squeeze(1)))
        return logits


def _name(group: str, tower: str) -> str:
    return f"{group}_of_{tower}"


def _copy(group: FeatureGroupConfig, tower: str) -> FeatureGroupConfig:
    """The group under a name of its own, with tables of its own."""
    copy = FeatureGroupConfig()
    copy.CopyFrom(group)
    copy.group_name = _name(group.group_name, tower)
    for part in (copy, *copy.sequence_groups):
        suffix = part.embedding_name_suffix or group.embedding_name_suffix
        part.embedding_name_suffix = "_".join(filter(None, (suffix, tower)))
    if len(copy.sequence_groups) == 1 and not group.sequence_groups[0].group_name:
        copy.sequence_groups[0].group_name = group.group_name  # the name that its encoders know it by
    return copy
