"""DC2VR: towers corrected by what earlier towers have made of the row. Legend: B rows, C classes."""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, MultiTaskModel
from tzx.runtime.models.multitask.shared_bottom import SharedBottom, earlier_towers
from tzx.runtime.nn.intervention import Intervention
from tzx.runtime.nn.mlp import MLP


class DC2VR(MultiTaskModel):
    """Low-rank interventions as in Wu et al. 2024, "ReFT: Representation Finetuning ...", section 3, between towers.

    [bottom MLP], [experts mixed per task], then for each tower in order b = [MLP]; with `intervention_tower_names`
    b + (b R_b - s R_s) R_b^T, s being the results of those towers without gradient; logits = linear(result).
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Shared bottom, then MLP, intervention and output of each tower."""
        (self.group,) = self.group_types()
        towers = self.own.task_towers
        self.bottom = SharedBottom(self.embedding_groups.total_dim(self.group), self.own, len(towers))
        self.mlps = nn.ModuleList(MLP(self.bottom.out_dim, tower.mlp) for tower in towers)
        widths = [mlp.out_dim for mlp in self.mlps]
        self.interventions, self.outputs = nn.ModuleDict(), nn.ModuleList()
        self.sources: list[list[int]] = []
        for i, tower in enumerate(towers):
            self.sources.append(earlier_towers(tower.intervention_tower_names, "intervention_tower_names", i, towers))
            if self.sources[i]:
                source = sum(widths[k] for k in self.sources[i])  # type: ignore[misc]
                try:
                    made = Intervention(widths[i], source, tower.low_rank_dim, tower.dropout_ratio)  # type: ignore[arg-type]
                except ConfigError as error:
                    raise ConfigError(f"task_towers[{i}] ({tower.tower_name}): {error}") from None
                self.interventions[str(i)] = made
            self.outputs.append(nn.Linear(widths[i], tower.num_class))  # type: ignore[arg-type]

    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task."""
        results: list[Tensor] = []
        for i, x in enumerate(self.bottom(groups[self.group])):
            result = self.mlps[i](x)
            if self.sources[i]:
                source = torch.cat([results[k] for k in self.sources[i]], dim=1)
                result = self.interventions[str(i)](result, source)
            results.append(result)
        return [output(result) for output, result in zip(self.outputs, results, strict=True)]
