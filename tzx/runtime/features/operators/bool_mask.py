"""BoolMaskFeature: the values whose flag is true."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.numbers import quoted
from tzx.runtime.features.operators.base import drop_empty_words, layout_of
from tzx.runtime.features.ragged import Bool, Ragged, Strings, align, bad_slot, bad_value, counts_of_kept, head_values
from tzx.runtime.features.reading import Layout


def flags_of(mask: Ragged) -> Bool:
    """Truth of every value: true and false, or numbers, of which only 0 is false."""
    values = mask.values
    if not isinstance(values, Strings):
        return values != 0
    from tzx.runtime.features.kernels import text

    flags = text.read_flags(values.data, values.starts, values.ends)
    if (flags < 0).any():
        bad = int(np.argmin(flags))
        problem = f"{quoted(values.text(bad))} is not true or false"
        raise bad_value(mask, bad, problem, lambda: np.flatnonzero(flags < 0))
    return flags > 0


@dataclass(frozen=True)
class BoolMaskOperator:
    """Keeps `value_dim` of the values that the flags let through, 0 for all."""

    layouts: tuple[Layout, ...]
    value_dim: int
    is_sequence: bool

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Values that are let through."""
        values, mask = align(inputs, self.is_sequence)
        there = (values.lengths > 0) & (mask.lengths > 0)
        unequal = there & (values.lengths != mask.lengths)
        if unequal.any():
            slot = int(np.argmax(unequal))
            raise bad_slot(
                mask, slot, f"{mask.lengths[slot]} flags for {values.lengths[slot]} values", unequal.nonzero()[0]
            )
        keep = np.zeros(len(values.values), bool)
        keep[np.repeat(there, values.lengths)] = flags_of(mask)[np.repeat(there, mask.lengths)]
        kept = replace(values, values=values.values[keep], lengths=counts_of_kept(keep, values.lengths))
        return head_values(drop_empty_words(kept), self.value_dim)


def make(declared: Declared, inputs: Sequence[Input]) -> BoolMaskOperator:
    """Operator of a BoolMaskFeature."""
    if len(inputs) != 2:
        raise ConfigError(f"it has {len(inputs)} inputs; it needs two, values and flags")
    # Empty values stay until the flags have been applied, or flags and values would not line up.
    layout = layout_of(declared, drop_empty=False)
    width = kinds.value_dim(declared.kind, declared.config, declared.is_sequence)
    return BoolMaskOperator((layout, layout), width, declared.is_sequence)
