"""MMoE: experts shared by all tasks, mixed by a gate of each task. Legend: B rows, C classes."""

from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.task_tower import TaskTower
from tzx.runtime.nn.experts import MixtureOfExperts


class MMoE(MultiTaskModel):
    """Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate ...", section 4.2.

    Task input = sum over experts of softmax(linear(gate_mlp(x) or x)) times expert(x); then each task's tower.
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Experts, gates and towers."""
        (self.group,) = self.group_types()
        if self.own.num_expert < 1:
            raise ConfigError(f"num_expert is {self.own.num_expert}; allowed: 1 or more")
        gate = self.own.gate_mlp if self.own.HasField("gate_mlp") else None
        width, towers = self.embedding_groups.total_dim(self.group), self.own.task_towers
        self.mmoe = MixtureOfExperts(width, self.own.expert_mlp, self.own.num_expert, len(towers), gate)
        self.task_towers = nn.ModuleList(TaskTower(self.mmoe.out_dim, tower) for tower in towers)

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task."""
        mixed = self.mmoe(groups[self.group])
        return [tower(task_input) for tower, task_input in zip(self.task_towers, mixed, strict=True)]
