"""PLE: layers of experts that belong to one task or to all. Legend: B rows, C classes."""

from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.task_tower import TaskTower
from tzx.runtime.nn.extraction import Extraction


class PLE(MultiTaskModel):
    """Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model ...", section 4.

    Every extraction layer gives each task a mix of its own and the shared experts, and the next layer's shared experts
    a mix of all of them; then each task's tower.
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Extraction layers and towers."""
        (self.group,) = self.group_types()
        configs, towers = self.own.extraction_networks, self.own.task_towers
        if not configs:
            raise ConfigError("extraction_networks is empty; add at least one")
        width, self.layers = self.embedding_groups.total_dim(self.group), nn.ModuleList()
        for i, config in enumerate(configs):
            needed = any(later.share_num for later in configs[i + 1 :])
            try:
                layer = Extraction(width, len(towers), config, needed)
            except ConfigError as error:
                raise ConfigError(f"extraction_networks[{i}] ({config.network_name}): {error}") from None
            self.layers.append(layer)
            width = layer.out_dim
        self.task_towers = nn.ModuleList(TaskTower(width, tower) for tower in towers)

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task."""
        shared = groups[self.group]
        tasks = [shared for _ in self.task_towers]
        for layer in self.layers:
            tasks, shared = layer(tasks, shared)
        return [tower(x) for tower, x in zip(self.task_towers, tasks, strict=True)]
