"""DIEN: MultiTower plus interests that evolve along behaviour sequences. Legend: B rows."""

from typing import cast

from google.protobuf.message import Message
from torch import Tensor, nn

from tzx.runtime.data.batch import Batch
from tzx.runtime.models.rank.sequence_towers import SequenceTowers
from tzx.runtime.nn.interest_evolution import InterestEvolution


class DIEN(SequenceTowers):
    """Zhou et al. 2019, "Deep Interest Evolution Network for Click-Through Rate Prediction", section 4.

    A DIEN tower draws interests h from its sequence group by a GRU, weighs them by a = softmax(h W query), and passes
    on the last state of a GRU over h whose update gate is multiplied by a. In training `auxiliary_loss_<tower>` makes
    every h tell the next element from another one of the batch.
    """

    tower_field = "dien_towers"

    def make_encoder(self, tower: Message, query_dim: int, sequence_dim: int) -> nn.Module:
        """Interests of the sequence and their evolution towards the query."""
        return InterestEvolution(query_dim, sequence_dim, tower)  # type: ignore[arg-type]

    @property
    def made_losses(self) -> list[str]:
        """One loss for every tower whose auxiliary_weight is not 0."""
        return [f"auxiliary_loss_{i}" for i, tower in enumerate(self.own.dien_towers) if tower.auxiliary_weight]

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions by name; in training also the auxiliary losses."""
        if not self.training:
            return super().predict(batch)
        groups, encoded, losses = self.embed(batch), list[Tensor](), dict[str, Tensor]()
        for i, (module, (query, sequence, lengths)) in enumerate(self.sequences(groups)):
            encoder, weight = cast(InterestEvolution, module), self.own.dien_towers[i].auxiliary_weight
            elements, valid = encoder.in_time(sequence, lengths)
            interests = encoder.interests(elements)
            encoded.append(encoder.evolve(query, interests, valid))
            if weight:
                losses[f"auxiliary_loss_{i}"] = weight * encoder.auxiliary_loss(interests, elements, valid)
        return self.tasks[0].predict(self.join(groups, encoded)) | losses
