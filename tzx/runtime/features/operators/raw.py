"""RawFeature: a vector of value_dim numbers, normalized."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.operators.base import layout_of, normalized
from tzx.runtime.features.ragged import Ragged, all_hold, bad_slot, head_values
from tzx.runtime.features.reading import Layout


@dataclass(frozen=True)
class RawOperator:
    """`width` numbers per slot (0: any number) through `normalizer`; missing slots stay missing."""

    layouts: tuple[Layout, ...]
    width: int
    normalizer: Normalizer | None
    first_only: bool

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Numbers or their text, normalized."""
        ragged = head_values(inputs[0], 1) if self.first_only else inputs[0]
        self._check_width(ragged)
        return normalized(ragged, self.normalizer)

    def _check_width(self, ragged: Ragged) -> None:
        if all_hold(ragged, self.width):
            return
        wrong = (ragged.lengths != self.width) & (ragged.lengths != 0)
        if self.width and wrong.any():
            slot = int(np.argmax(wrong))
            raise bad_slot(
                ragged, slot, f"{ragged.lengths[slot]} numbers where value_dim is {self.width}", wrong.nonzero()[0]
            )


def make(declared: Declared, inputs: Sequence[Input]) -> RawOperator:
    """Operator of a RawFeature."""
    config = declared.config
    return RawOperator(
        layouts=(layout_of(declared, drop_empty=False),),
        width=config.value_dim,
        normalizer=parse_normalizer(config.normalizer),
        first_only=declared.is_sequence and config.value_dim == 1,
    )
