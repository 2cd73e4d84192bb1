"""What every operator offers, and what several of them share."""

from collections.abc import Sequence
from typing import Protocol

from tzx.runtime.features.declared import Declared
from tzx.runtime.features.ragged import Ragged
from tzx.runtime.features.reading import Layout


class Operator(Protocol):
    """Values of the inputs to values of the feature, slot by slot."""

    @property
    def layout(self) -> Layout:
        """How text inputs are written; the delimiter is dropped for inputs that are no sequence."""
        ...

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Values before defaults and bucketizing."""
        ...


def layout_of(declared: Declared, drop_empty: bool, weighted: bool = False) -> Layout:
    """Layout of raw input: the feature's own separators, sequences cut to their length and never empty."""
    return Layout(
        separator=declared.separator.encode(),
        delimiter=declared.delimiter.encode() if declared.is_sequence else None,
        drop_empty=drop_empty,
        max_elements=declared.sequence_length,
        fill_rows=True,
        weighted=weighted,
    )
