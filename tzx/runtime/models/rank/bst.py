"""BST: MultiTower plus a transformer over behaviour sequences."""

from google.protobuf.message import Message
from torch import nn

from tzx.runtime.models.rank.sequence_towers import SequenceTowers
from tzx.runtime.nn.behavior_transformer import BehaviorTransformer


class BST(SequenceTowers):
    """Chen et al. 2019, "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba", section 2.

    A BST tower puts the query before the elements of its sequence group, adds a learned vector for each position, and
    passes on what transformer layers make of every position, side by side.
    """

    tower_field = "bst_towers"

    def make_encoder(self, tower: Message, query_dim: int, sequence_dim: int) -> nn.Module:
        """Transformer over query and sequence."""
        return BehaviorTransformer(query_dim, sequence_dim, tower)  # type: ignore[arg-type]
