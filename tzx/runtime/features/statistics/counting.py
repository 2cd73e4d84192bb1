"""Distinct values of a batch with their counts, so that all that follows looks at every value once."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from tzx.runtime.features import arrow, words
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import Numbers, Strings, Values


@dataclass(frozen=True)
class Counted:
    """Distinct `values` [K], how often each occurs, and hashes of them as text."""

    values: Values
    counts: Int64
    hashes: Int64


def count_distinct(values: Values) -> Counted:
    """Count equal values; numbers are equal to their decimal text."""
    if isinstance(values, Strings):
        hashes = words.hashed(values)[3]
        firsts, counts = _groups(hashes)
        return Counted(values[firsts], counts, hashes[firsts])
    firsts, counts = _groups(values)
    distinct = values[firsts]
    return Counted(distinct, counts, words.hashed(distinct)[3] if len(distinct) else np.zeros(0, np.int64))


def _groups(keys: Numbers) -> tuple[Int64, Int64]:
    """Index of the first of equal keys, and how many there are of each."""
    encoded = pc.dictionary_encode(arrow.array_of(keys))
    places = arrow.view(encoded.indices, np.int32)
    number = len(encoded.dictionary)
    firsts = np.zeros(number, np.int64)
    firsts[places[::-1]] = np.arange(len(places) - 1, -1, -1)
    return firsts, np.bincount(places, minlength=number).astype(np.int64)
