"""MatchFeature: what a map of maps holds for a pair of keys.

Written `pk^sk:v,sk2:v2|pk2^...`, or as a map from the first key to the text `sk:v,sk2:v2`. A key given as ALL in the
config stands for every entry of its level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.features import words
from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.bucketizers import given_options, has_field
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_floats, to_strings
from tzx.runtime.features.operators.base import drop_empty_words, layout_of, normalized
from tzx.runtime.features.ragged import Ragged, Strings, align, places_in_slot
from tzx.runtime.features.reading import Layout, split_pairs, split_values

OUTER, KEY_END, INNER = b"|", ord("^"), b","
ALL = "ALL"
HASHING = ("hash_bucket_size", "zch", "dynamicemb")


def _one_each(count: int) -> Int32:
    return np.ones(count, np.int32)


@dataclass(frozen=True)
class Found:
    """Entries that matched so far: their values, their slots (not falling), and the keys they matched by."""

    values: Strings
    slots: Int64
    keys: tuple[Strings, ...]


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
        outer, *given = align(inputs, self.is_sequence)
        keys = [given.pop(0) if there else None for there in self.has_keys]
        count = len(outer.lengths)
        slots = np.repeat(np.arange(count, dtype=np.int64), outer.lengths)
        assert outer.items is not None
        first = self._level(outer, keys[0], Found(to_strings(outer.items), slots, ()))
        inner = split_values(first.values, INNER, Ragged(first.values, _one_each(len(first.values))))
        parts = split_pairs(inner)
        assert parts.items is not None
        owners = np.repeat(np.arange(len(first.slots), dtype=np.int64), parts.lengths)
        held = Found(to_strings(parts.items), first.slots[owners], tuple(key[owners] for key in first.keys))
        found = self._level(parts, keys[1], held, first.slots)
        lengths = np.bincount(found.slots, minlength=count).astype(np.int32)
        made = replace(outer, values=found.values, lengths=lengths, items=None)
        if self.discrete:
            return drop_empty_words(replace(made, values=self._prefixed(found)))
        return normalized(replace(made, values=to_floats(made)), self.normalizer)

    @staticmethod
    def _level(pairs: Ragged, keys: Ragged | None, held: Found, owners: Int64 | None = None) -> Found:
        """The entries of one level whose key was asked for; all of them without `keys`.

        Args:
            pairs: entries of the level, one slot per map.
            keys: what to look for, one slot per row or element.
            held: what goes with every entry.
            owners: slot of `keys` of every map, when there can be several maps for one.
        """
        names = to_strings(pairs.values)
        if keys is None:
            chosen = np.arange(len(names), dtype=np.int64)
        else:
            of_map = np.arange(len(pairs.lengths), dtype=np.int64) if owners is None else owners
            counts = keys.lengths[of_map]
            firsts = (np.cumsum(keys.lengths, dtype=np.int64) - keys.lengths)[of_map]
            asked = to_strings(keys.values)[np.repeat(firsts, counts) + places_in_slot(counts)]
            maps = np.arange(len(pairs.lengths), dtype=np.int64)
            entries = words.find(names, pairs.lengths, asked, counts, maps)
            chosen = entries[entries >= 0]
        return Found(held.values[chosen], held.slots[chosen], (*(key[chosen] for key in held.keys), names[chosen]))

    def _prefixed(self, found: Found) -> Strings:
        """`<prefix>_<key>_<key>_<value>`, of which a config may want some parts."""
        single = _one_each(len(found.values))
        value = found.values
        for key, shown in reversed(list(zip(found.keys, self.show, strict=True))):
            if shown:
                value, _ = words.join(key, single, value, single)
        if self.prefix:
            value, _ = words.join(Strings.of([self.prefix] * len(value)), single, value, single)
        return value


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
