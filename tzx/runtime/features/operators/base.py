"""What every operator offers, and what several of them share."""

from collections.abc import Sequence
from typing import Protocol

from tzx.runtime.features.declared import Declared
from tzx.runtime.features.normalizers import Normalizer
from tzx.runtime.features.numbers import to_floats
from tzx.runtime.features.ragged import Ragged, Strings, counts_of_kept
from tzx.runtime.features.reading import Layout


class Operator(Protocol):
    """Values of the inputs to values of the feature, slot by slot."""

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """How each input is written; the delimiter is dropped for inputs that are no sequence."""
        ...

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Values before defaults and bucketizing."""
        ...


def normalized(ragged: Ragged, normalizer: Normalizer | None) -> Ragged:
    """Numbers through a normalizer, if there is one."""
    return ragged if normalizer is None else ragged.with_values(normalizer(to_floats(ragged)))


def drop_empty_words(ragged: Ragged) -> Ragged:
    """Leave empty text out."""
    values = ragged.values
    if not isinstance(values, Strings):
        return ragged
    keep = values.ends > values.starts
    if keep.all():
        return ragged
    return ragged.with_values(values[keep], counts_of_kept(keep, ragged.lengths))


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
