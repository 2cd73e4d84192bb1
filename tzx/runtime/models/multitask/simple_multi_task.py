"""SimpleMultiTask: one network per task over the same embeddings. Legend: B rows, C classes."""

from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.task_tower import TaskTower


class SimpleMultiTask(MultiTaskModel):
    """Shared embeddings, separate towers, as in Caruana 1997, "Multitask Learning", section 2."""

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Towers."""
        (self.group,) = self.group_types()
        width = self.embedding_groups.total_dim(self.group)
        self.task_towers = nn.ModuleList(TaskTower(width, tower) for tower in self.own.task_towers)

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task."""
        return [tower(groups[self.group]) for tower in self.task_towers]
