"""Comparing and joining the words of slots."""

import numpy as np

from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.numbers import to_strings
from tzx.runtime.features.ragged import Strings, UInt8, Values

MANY = 2**63 - 1
Words = tuple[UInt8, Int64, Int64, Int64]


def hashed(values: Values) -> Words:
    """Bytes, starts, ends and hashes of values as text."""
    from tzx.runtime.features.kernels import hashing

    s = to_strings(values)
    return s.data, s.starts, s.ends, hashing.hash_strings(s.data, s.starts, s.ends, MANY, False)


def find(words: Values, word_lengths: Int32, keys: Values, key_lengths: Int32, word_slots: Int64) -> Int64:
    """For every key, the number of the last equal word in word slot `word_slots[slot of the key]`, or -1."""
    from tzx.runtime.features.kernels import matching

    return matching.find_in_slots(hashed(words), word_lengths, hashed(keys), key_lengths, word_slots)


def join(left: Strings, left_lengths: Int32, right: Strings, right_lengths: Int32) -> tuple[Strings, Int32]:
    """Cross product of the words of both sides, slot by slot, joined by an underscore."""
    from tzx.runtime.features.kernels import matching

    data, offsets = matching.cross(
        (left.data, left.starts, left.ends), left_lengths, (right.data, right.starts, right.ends), right_lengths, 95
    )
    data.flags.writeable = False
    return Strings(data, offsets[:-1], offsets[1:]), (left_lengths * right_lengths).astype(np.int32)
