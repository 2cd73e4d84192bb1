"""MatchFeature: what a map of maps holds for a pair of keys.

Written `pk^sk:v,sk2:v2|pk2^...`, or as a map from the first key to the text `sk:v,sk2:v2`. A key given as ALL in the
config stands for every entry of its level.
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
from tzx.runtime.features.ragged import Ragged, Strings, align, places_in_slot, rows_of_slots
from tzx.runtime.features.reading import Layout, split_pairs, split_values

OUTER, KEY_END, INNER = b"|", ord("^"), b","
ALL = "ALL"
HASHING = ("hash_bucket_size", "zch", "dynamicemb")


@dataclass(frozen=True)
class Found:
    """Entries that matched: their values, their slots (not falling), and the keys they matched by."""

    values: Strings
    slots: Int64
    keys: tuple[Strings, Strings]


@dataclass(frozen=True)
class MatchOperator:
    """Values found for the keys: text with prefixes when `discrete`, otherwise numbers."""

    layouts: tuple[Layout, ...]
    has_keys: tuple[bool, bool]
    is_sequence: bool
    discrete: bool
    prefix: bytes
    show: tuple[bool, bool]
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Found values."""
        outer, given, maps = _aligned(inputs, self.is_sequence)
        like = given[0] if given else outer
        keys = [given.pop(0) if there else None for there in self.has_keys]
        found = _find(outer, keys, maps)
        lengths = np.bincount(found.slots, minlength=len(maps)).astype(np.int32)
        made = replace(like, values=found.values, lengths=lengths, items=None, column=outer.column)
        if self.discrete:
            return drop_empty_words(replace(made, values=self._prefixed(found)))
        return normalized(replace(made, values=to_floats(made)), self.normalizer)

    def _prefixed(self, found: Found) -> Strings:
        """`<prefix>_<key>_<key>_<value>`, of which a config may want some parts."""
        single = np.ones(len(found.values), np.int32)
        value = found.values
        for key, shown in reversed(list(zip(found.keys, self.show, strict=True))):
            if shown:
                value, _ = words.join(key, single, value, single)
        if self.prefix:
            value, _ = words.join(Strings.of([self.prefix] * len(value)), single, value, single)
        return value


def _aligned(inputs: Sequence[Ragged], is_sequence: bool) -> tuple[Ragged, list[Ragged], Int64]:
    """The maps, the keys in the slots of the result, and for each of these slots the slot of its map."""
    outer, *keys = inputs
    if outer.seq_lengths is None and any(key.seq_lengths is not None for key in keys):
        # A map of the row is not repeated for every element.
        keys = align(keys, is_sequence)
        assert keys[0].seq_lengths is not None
        return outer, keys, rows_of_slots(keys[0].seq_lengths)
    outer, *keys = align(inputs, is_sequence)
    return outer, keys, np.arange(len(outer.lengths), dtype=np.int64)


def _find(outer: Ragged, keys: Sequence[Ragged | None], maps: Int64) -> Found:
    """Entries of the inner maps that both keys ask for; the text of an inner map is taken apart once."""
    slots = np.arange(len(maps), dtype=np.int64)
    entries, hits = _level(outer, maps, keys[0], slots)
    distinct, inner = _distinct(entries)
    assert outer.items is not None
    texts = to_strings(outer.items)[distinct]
    parts = split_pairs(split_values(texts, INNER, Ragged(texts, np.ones(len(texts), np.int32))))
    assert parts.items is not None
    chosen, inner_hits = _level(parts, inner, keys[1], hits)
    names = to_strings(outer.values)[entries[inner_hits]], to_strings(parts.values)[chosen]
    return Found(to_strings(parts.items)[chosen], hits[inner_hits], names)


def _distinct(numbers: Int64) -> tuple[Int64, Int64]:
    """Every number once, and where each of the given ones stands among them."""
    if (numbers[1:] > numbers[:-1]).all():
        return numbers, np.arange(len(numbers), dtype=np.int64)
    return np.unique(numbers, return_inverse=True)


def _level(pairs: Ragged, maps: Int64, keys: Ragged | None, owners: Int64) -> tuple[Int64, Int64]:
    """The entries of one level whose key was asked for; all of them without `keys`.

    Args:
        pairs: entries of the level, one slot per map.
        maps: slots of the maps to look into.
        keys: what to look for.
        owners: slot of `keys` that holds the keys for each of `maps`.

    Returns:
        Number of every entry, and for which one of `maps` it was found, not falling.
    """
    if keys is None:
        counts = pairs.lengths[maps]
        firsts = (np.cumsum(pairs.lengths, dtype=np.int64) - pairs.lengths)[maps]
        return np.repeat(firsts, counts) + places_in_slot(counts), np.repeat(np.arange(len(maps)), counts)
    # Looking up goes through the maps once, in their order.
    order = np.arange(len(maps)) if (maps[1:] >= maps[:-1]).all() else np.argsort(maps, kind="stable")
    counts = keys.lengths[owners[order]]
    firsts = (np.cumsum(keys.lengths, dtype=np.int64) - keys.lengths)[owners[order]]
    asked = to_strings(keys.values)[np.repeat(firsts, counts) + places_in_slot(counts)]
    entries = words.find(pairs.values, pairs.lengths, asked, counts, maps[order])
    found = entries >= 0
    entries, hits = entries[found], np.repeat(order, counts)[found]
    back = np.argsort(hits, kind="stable")
    return entries[back], hits[back]


def make(declared: Declared, inputs: Sequence[Input]) -> MatchOperator:
    """Operator of a MatchFeature."""
    config = declared.config
    given = given_options(config)
    layout = layout_of(declared, drop_empty=True)
    nested = replace(layout, separator=OUTER, key_end=KEY_END, pairs=True)
    keys = (config.pkey != ALL, config.skey != ALL)
    # Observed of the compatible system: a hashed value carries the feature's name, any other does not.
    hashes = any(has_field(config, option) for option in HASHING)
    return MatchOperator(
        layouts=(nested, *(layout,) * sum(keys)),
        has_keys=keys,
        is_sequence=declared.is_sequence,
        discrete=not set(given) <= {"boundaries"},
        prefix=config.feature_name.encode() if hashes else b"",
        show=(config.show_pkey, config.show_skey),
        normalizer=parse_normalizer(config.normalizer),
    )
