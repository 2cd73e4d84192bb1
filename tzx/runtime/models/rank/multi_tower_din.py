"""MultiTowerDIN: MultiTower plus attention over behaviour sequences.

Legend: B rows, C classes, T time steps, D width of a sequence element.
"""

from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import GroupTypes
from tzx.runtime.models.rank.multi_tower import MultiTower
from tzx.runtime.nn.sequence_encoders import DIN
from tzx.runtime.protos.model_pb2 import SEQUENCE
from tzx.runtime.protos.tower_pb2 import DINTower


class MultiTowerDIN(MultiTower):
    """Zhou et al. 2018, "Deep Interest Network for Click-Through Rate Prediction", section 4.3.

    A DIN tower weighs the elements of its sequence group by an attention MLP of (query, element) and adds them up; its
    [B, D] stands beside the other towers' outputs.
    """

    def group_types(self) -> GroupTypes:
        """The towers' inputs and the sequence groups of the DIN towers."""
        return {**super().group_types(), **{tower.input: (SEQUENCE,) for tower in self.own.din_towers}}

    def build(self) -> None:
        """Attention of every DIN tower, then as MultiTower."""
        self.din_towers = nn.ModuleList(self._make_din(tower) for tower in self.own.din_towers)
        super().build()

    def _make_din(self, tower: DINTower) -> DIN:
        width = self.embedding_groups.total_dim
        try:
            return DIN(width(f"{tower.input}.query"), width(f"{tower.input}.sequence"), tower.attn_mlp)
        except ConfigError as error:
            raise ConfigError(
                f"din_towers: feature group {tower.input!r} needs sequence features and, as query, plain features no "
                f"wider than them: {error}"
            ) from None

    def tower_dims(self) -> list[int]:
        """Widths of the towers, then of the DIN towers."""
        return super().tower_dims() + [din.out_dim for din in self.din_towers if isinstance(din, DIN)]

    def tower_outputs(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """[B, width] of every tower, then [B, D] of every DIN tower."""
        outputs = super().tower_outputs(groups)
        for din, tower in zip(self.din_towers, self.own.din_towers, strict=True):
            query, sequence_BTD = groups[f"{tower.input}.query"], groups[f"{tower.input}.sequence"]
            outputs.append(din(query, sequence_BTD, groups[f"{tower.input}.sequence_length"]))
        return outputs
