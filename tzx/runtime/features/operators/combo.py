"""ComboFeature: every combination of the inputs' values, joined by underscores, the first input slowest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tzx.runtime.features import kinds, words
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.numbers import to_strings
from tzx.runtime.features.operators.base import layout_of
from tzx.runtime.features.ragged import Ragged, align, head_values
from tzx.runtime.features.reading import Layout


@dataclass(frozen=True)
class ComboOperator:
    """Keeps `value_dim` combinations of every slot, 0 for all; none where an input is missing."""

    layouts: tuple[Layout, ...]
    value_dim: int
    is_sequence: bool

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Joined values."""
        # The first n combinations need only the first n values of each input.
        first, *others = (head_values(ragged, self.value_dim) for ragged in align(inputs, self.is_sequence))
        made = replace(first, values=to_strings(first.values))
        for other in others:
            joined, lengths = words.join(to_strings(made.values), made.lengths, to_strings(other.values), other.lengths)
            made = head_values(replace(made, values=joined, lengths=lengths), self.value_dim)
        return made


def make(declared: Declared, inputs: Sequence[Input]) -> ComboOperator:
    """Operator of a ComboFeature."""
    layout = layout_of(declared, drop_empty=True)
    width = kinds.value_dim(declared.kind, declared.config, declared.is_sequence)
    return ComboOperator((layout,) * len(inputs), width, declared.is_sequence)
