"""GDCN: crosses that pass a gate, beside or below a deep network. Legend: B rows, C classes."""

import torch
from torch import Tensor, nn

from tzx.runtime.config.problems import hint
from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.cross import GatedCross
from tzx.runtime.nn.mlp import MLP

_STRUCTURES = ("parallel", "stacked")


class GDCN(RankModel):
    """Wang et al. 2023, "Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction", section 3.

    x_0 = group; x_{l+1} = x_0 * (W_l x_l + b_l) * sigmoid(G_l x_l) + x_l. Parallel: linear([x, MLP(group)]); stacked:
    linear(MLP(x)).
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Cross and deep layers."""
        (self.group,) = self.group_types()
        structure = self.own.structure
        if structure not in _STRUCTURES:
            raise ConfigError(
                f"structure is {structure!r}; allowed: {' and '.join(_STRUCTURES)}{hint(structure, _STRUCTURES)}"
            )
        width = self.embedding_groups.total_dim(self.group)
        self.cross, self.deep = GatedCross(width, self.own.cross), MLP(width, self.own.deep)
        both = structure == "parallel"
        self.output = nn.Linear(self.deep.out_dim + (width if both else 0), self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BD = groups[self.group]
        crossed_BD = self.cross(x_BD)
        if self.own.structure == "stacked":
            return self.output(self.deep(crossed_BD))
        return self.output(torch.cat([crossed_BD, self.deep(x_BD)], dim=1))
