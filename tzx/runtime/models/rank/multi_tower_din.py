"""MultiTowerDIN: MultiTower plus attention over behaviour sequences."""

from google.protobuf.message import Message
from torch import nn

from tzx.runtime.models.rank.sequence_towers import SequenceTowers
from tzx.runtime.nn.sequence_encoders import DIN


class MultiTowerDIN(SequenceTowers):
    """Zhou et al. 2018, "Deep Interest Network for Click-Through Rate Prediction", section 4.3.

    A DIN tower weighs the elements of its sequence group by an attention MLP of (query, element) and adds them up.
    """

    tower_field = "din_towers"

    def make_encoder(self, tower: Message, query_dim: int, sequence_dim: int) -> nn.Module:
        """Attention of the query over the sequence."""
        return DIN(query_dim, sequence_dim, tower.attn_mlp)  # type: ignore[attr-defined]
