"""KvDotProduct: the sum over common keys of the products of both sides' values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tzx.runtime.features import words
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_floats
from tzx.runtime.features.operators.base import layout_of, normalized
from tzx.runtime.features.operators.combining import combine
from tzx.runtime.features.ragged import Ragged, Strings, align, counts_of_kept
from tzx.runtime.features.reading import Layout

Float64 = npt.NDArray[np.float64]


def weights_of(pairs: Ragged) -> Float64:
    """Numbers of all pairs; a key without one counts as 1."""
    items = pairs.items
    assert items is not None
    if not isinstance(items, Strings):
        return items.astype(np.float64)
    written = items.ends > items.starts
    numbers = np.ones(len(items), np.float64)
    numbers[written] = to_floats(replace(pairs, values=items[written], lengths=counts_of_kept(written, pairs.lengths)))
    return numbers


@dataclass(frozen=True)
class KvDotOperator:
    """One number per slot; a slot where a side is missing is missing."""

    layouts: tuple[Layout, ...]
    is_sequence: bool
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Products."""
        query, document = align(inputs, self.is_sequence)
        slots = np.arange(len(query.lengths), dtype=np.int64)
        entries = words.find(document.values, document.lengths, query.values, query.lengths, slots)
        common = entries >= 0
        products = np.zeros(len(entries))
        products[common] = weights_of(query)[common] * weights_of(document)[entries[common]]
        sums = combine(query, products, "sum")
        lone = (document.lengths == 0)[query.lengths > 0]
        assert isinstance(sums.values, np.ndarray)
        lengths = sums.lengths * (document.lengths > 0)
        made = replace(sums, values=sums.values[~lone], lengths=lengths.astype(np.int32))
        return normalized(made, self.normalizer)


def make(declared: Declared, inputs: Sequence[Input]) -> KvDotOperator:
    """Operator of a KvDotProduct."""
    layout = replace(layout_of(declared, drop_empty=True), pairs=True)
    normalizer = parse_normalizer(declared.config.normalizer)
    return KvDotOperator((layout, layout), declared.is_sequence, normalizer)
