"""Several text columns of a batch at once, read where Arrow keeps them and made into ids or numbers in one pass.

Every call of compiled code gives the interpreter up and takes it back, for which threads wait for each other; so there
is one call for many columns. They come as a table of int64, one row of `PLACES` per column.
"""

import numpy as np
import numpy.typing as npt
from numba import carray, njit

from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.kernels.hashing import farm64, murmur64
from tzx.runtime.features.kernels.memory import is_null, pointer, read_bits, read_offsets
from tzx.runtime.features.kernels.text import OK, occurrences, parse_int, parse_plain_float
from tzx.runtime.features.ragged import UInt8

# Addresses of the bytes, of the offsets and of the bits that tell nulls (0: there are none), and the first such bit.
PLACES = DATA, BYTES, OFFSETS, VALID, FIRST_BIT = range(5)
# What makes an id of a word.
MURMUR, FARM, NUMBER = range(3)


@njit(nogil=True, cache=True)
def _buffers(column: Int64, rows: int, wide: bool) -> tuple[UInt8, Int64, UInt8]:
    """Bytes, offsets [rows + 1], and the bits that tell nulls."""
    data = carray(pointer(column[DATA]), column[BYTES])
    return data, read_offsets(column[OFFSETS], rows, wide), read_bits(column[VALID], column[FIRST_BIT] + rows)


@njit(nogil=True, cache=True)
def _separators(columns: Int64, rows: int, byte: int, wide: bool) -> Int64:
    """How often a byte is in the strings of every column."""
    counts = np.empty(len(columns), np.int64)
    for part in range(len(columns)):
        data, offsets, _ = _buffers(columns[part], rows, wide)
        counts[part] = occurrences(data, offsets[0], offsets[-1], byte)
    return counts


@njit(nogil=True, cache=True)
def make_ids(
    columns: Int64, rows: int, split: tuple[int, int], tables: Int64, defaults: Int64, kind: tuple[bool, int]
) -> tuple[Int64, Int32, Int64]:
    """Id of every word of P columns, for tables of as many rows [P]; an empty row gets the defaults [P, D].

    Args:
        columns: where they are, [P, PLACES].
        rows: strings of each.
        split: byte between words, and how many words of a row are kept (0: all).
        tables: rows of the table of each column.
        defaults: ids of each column.
        kind: whether offsets have 64 bits, and MURMUR, FARM or NUMBER.

    Returns:
        Ids [N], ids of each row [P * rows], and where the ids of each column start [P + 1]; the last one is -1 where a
        word is no id, and the rest means nothing then.
    """
    (separator, limit), (wide, way) = split, kind
    separators = _separators(columns, rows, separator, wide)
    ids = np.empty(len(columns) * rows * max(1, defaults.shape[1]) + separators.sum(), np.int64)
    lengths = np.empty(len(columns) * rows, np.int32)
    bounds = np.zeros(len(columns) + 1, np.int64)
    n = 0
    for part in range(len(columns)):
        data, offsets, bits = _buffers(columns[part], rows, wide)
        size = np.uint64(tables[part])
        for i in range(rows):
            first, start, end = n, offsets[i], offsets[i + 1]
            if is_null(bits, columns[part, FIRST_BIT] + i):
                end = start
            # Without separators in the column, the first word is the whole text.
            at = start if separators[part] else end
            while start < end:
                while at < end and data[at] != separator:
                    at += 1
                if at > start:
                    if way == NUMBER:
                        number, status = parse_int(data, start, at)
                        if status != OK or number < 0 or 0 < size <= np.uint64(number):
                            bounds[-1] = -1
                            return ids, lengths, bounds
                    else:
                        h = farm64(data, start, at) if way == FARM else murmur64(data, start, at)
                        number = np.int64(h % size)
                    ids[n] = number
                    n += 1
                    if n - first == limit:
                        break
                at += 1
                start = at
            if n == first:
                for default in defaults[part]:
                    ids[n] = default
                    n += 1
            lengths[part * rows + i] = n - first
        bounds[part + 1] = n
    return ids[:n], lengths, bounds


@njit(nogil=True, cache=True)
def parse_columns(columns: Int64, rows: int, wide: bool) -> tuple[npt.NDArray[np.float64], Int64, bool]:
    """The number in every string of P columns.

    Returns:
        Numbers [P * rows], the places of empty strings, where the number is 1, and whether all are written plainly;
        if not, the rest means nothing.
    """
    numbers = np.empty(len(columns) * rows, np.float64)
    missing = np.empty(len(numbers), np.int64)
    left = 0
    for part in range(len(columns)):
        data, offsets, bits = _buffers(columns[part], rows, wide)
        for i in range(rows):
            start, end = offsets[i], offsets[i + 1]
            if start == end or is_null(bits, columns[part, FIRST_BIT] + i):
                number, plain = 1.0, True
                missing[left] = part * rows + i
                left += 1
            else:
                number, plain = parse_plain_float(data, start, end)
            if not plain:
                return numbers, missing[:left], False
            numbers[part * rows + i] = number
    return numbers, missing[:left], True
