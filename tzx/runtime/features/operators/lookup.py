"""LookupFeature: what a map holds for the keys of a row.

The map has one slot per row (or one per element, if sequence_fields says so), the keys one per row or element.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.features import words
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import given_options, has_field
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_floats, to_strings
from tzx.runtime.features.operators.base import drop_empty_words, layout_of, normalized
from tzx.runtime.features.operators.combining import check_combiner, combine
from tzx.runtime.features.ragged import Ragged, Strings, align, counts_of_kept, rows_of_slots
from tzx.runtime.features.reading import Layout, split_values


def found_entries(pairs: Ragged, keys: Ragged) -> tuple[Int64, Ragged]:
    """Numbers of the map entries found for the keys, and the keys that were found."""
    if keys.seq_lengths is None or pairs.seq_lengths is not None:
        slots = np.arange(len(keys.lengths), dtype=np.int64)
    else:
        slots = rows_of_slots(keys.seq_lengths)
    entries = words.find(pairs.values, pairs.lengths, keys.values, keys.lengths, slots)
    keep = entries >= 0
    kept = replace(keys, values=to_strings(keys.values)[keep], lengths=counts_of_kept(keep, keys.lengths))
    return entries[keep], kept


@dataclass(frozen=True)
class LookupOperator:
    """Values of all found keys: text when `discrete`, otherwise numbers, combined unless `combiner` is ""."""

    layouts: tuple[Layout, ...]
    discrete: bool
    need_key: bool
    combiner: str
    normalizer: Normalizer | None
    width: int
    value_separator: bytes

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Found values."""
        pairs, keys = inputs
        if pairs.seq_lengths is not None:
            pairs, keys = align(inputs, True)
        assert pairs.items is not None
        entries, found = found_entries(pairs, keys)
        values = replace(found, values=pairs.items[entries], column=pairs.column)
        if self.discrete:
            return drop_empty_words(self._with_key(values, found))
        if self.width > 1:
            return normalized(self._vectors(values), self.normalizer)
        if self.combiner == "count":
            return combine(values, np.ones(len(entries)), self.combiner)
        numbers = to_floats(values)
        made = combine(values, numbers, self.combiner) if self.combiner else replace(values, values=numbers)
        return normalized(made, self.normalizer)

    def _with_key(self, values: Ragged, found: Ragged) -> Ragged:
        if not self.need_key:
            return values
        single = np.ones(len(values.values), np.int32)
        keys = found.values
        assert isinstance(keys, Strings)
        joined, _ = words.join(keys, single, to_strings(values.values), single)
        return replace(values, values=joined)

    def _vectors(self, values: Ragged) -> Ragged:
        """`width` numbers for every slot; those of several keys are combined place by place."""
        split = split_values(to_strings(values.values), self.value_separator, values)
        if not self.combiner or not len(split.values) or int(split.lengths.max()) <= self.width:
            return split
        numbers = to_floats(split)
        whole = split.lengths % self.width == 0
        if not whole.all():
            return split
        return _combine_places(replace(split, values=numbers), self.width, self.combiner)


def _combine_places(ragged: Ragged, width: int, combiner: str) -> Ragged:
    """Vectors of `width` numbers, one after the other in each slot, to one vector per slot."""
    assert isinstance(ragged.values, np.ndarray)
    vectors = ragged.values.reshape(-1, width)
    counted = replace(ragged, lengths=(ragged.lengths // width).astype(np.int32))
    columns = [combine(counted, vectors[:, place], combiner) for place in range(width)]
    values = np.concatenate([to_floats(column) for column in columns]).reshape(width, -1).T.ravel()
    return replace(ragged, values=values, lengths=columns[0].lengths * np.int32(width))


def make(declared: Declared, inputs: Sequence[Input]) -> LookupOperator:
    """Operator of a LookupFeature."""
    config = declared.config
    layout = layout_of(declared, drop_empty=True)
    numeric = set(given_options(config)) <= {"boundaries"}
    return LookupOperator(
        layouts=(replace(layout, pairs=True), layout),
        discrete=config.need_discrete or not numeric,
        need_key=config.need_key,
        combiner=check_combiner(config.combiner, ("",)),
        normalizer=parse_normalizer(config.normalizer),
        width=config.value_dim if has_field(config, "value_dim") and not given_options(config) else 1,
        value_separator=config.value_separator.encode(),
    )
