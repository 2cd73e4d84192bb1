"""Several text columns of a batch at once, read where Arrow keeps them and made into ids or numbers in one pass.

Every call of compiled code gives the interpreter up and takes it back, for which threads wait for each other; so there
is one call for many columns. They come as a table of int64, one row of `PLACES` per column.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types
from numba.extending import intrinsic

from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.kernels.hashing import farm64, murmur64
from tzx.runtime.features.kernels.text import occurrences, parse_plain_float

# Addresses of the bytes, of the offsets and of the bits that tell nulls (0: there are none), and the first such bit.
PLACES = DATA, BYTES, OFFSETS, VALID, FIRST_BIT = range(5)


def _to_pointer(_: Any, address: Any) -> Any:
    """Types and code of `_pointer`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.int64), generate


# The bytes at an address.
_pointer: Any = intrinsic(_to_pointer)


@njit(nogil=True, cache=True)
def _texts(column: Int64, rows: int, wide: bool) -> tuple[Int64, Int64]:
    """Where every string of a column starts and ends, [rows] each; a null one ends where it starts."""
    if wide:
        offsets = carray(_pointer(column[OFFSETS]), 8 * (rows + 1)).view(np.int64)
    else:
        offsets = carray(_pointer(column[OFFSETS]), 4 * (rows + 1)).view(np.int32).astype(np.int64)
    starts, ends = offsets[:-1], offsets[1:]
    if column[VALID] == 0:
        return starts, ends
    first = column[FIRST_BIT]
    bits = carray(_pointer(column[VALID]), (first + rows + 7) // 8)
    shown = np.empty(rows, np.int64)
    for i in range(rows):
        valid = bits[(first + i) >> 3] >> np.uint8((first + i) & 7) & 1
        shown[i] = ends[i] if valid else starts[i]
    return starts, shown


@njit(nogil=True, cache=True)
def _separators(columns: Int64, rows: int, byte: int, wide: bool) -> Int64:
    """How often a byte is in the strings of every column."""
    counts = np.empty(len(columns), np.int64)
    for part in range(len(columns)):
        data = carray(_pointer(columns[part, DATA]), columns[part, BYTES])
        starts, ends = _texts(columns[part], rows, wide)
        counts[part] = occurrences(data, starts[0], ends[-1], byte)
    return counts


@njit(nogil=True, cache=True)
def hash_columns(
    columns: Int64, rows: int, split: tuple[int, int], buckets: Int64, defaults: Int64, kind: tuple[bool, bool]
) -> tuple[Int64, Int32, Int64]:
    """Hash of every word of P columns, modulo buckets [P]; an empty row gets the defaults [P, D] of its column.

    Args:
        columns: where they are, [P, PLACES].
        rows: strings of each.
        split: byte between words, and how many words of a row are kept (0: all).
        buckets: of each column.
        defaults: ids of each column.
        kind: whether offsets have 64 bits, and whether FarmHash is asked for.

    Returns:
        Ids [N], ids of each row [P * rows], and where the ids of each column start [P + 1].
    """
    (separator, limit), (wide, farm) = split, kind
    separators = _separators(columns, rows, separator, wide)
    ids = np.empty(len(columns) * rows * max(1, defaults.shape[1]) + separators.sum(), np.int64)
    lengths = np.empty(len(columns) * rows, np.int32)
    bounds = np.zeros(len(columns) + 1, np.int64)
    n = 0
    for part in range(len(columns)):
        data = carray(_pointer(columns[part, DATA]), columns[part, BYTES])
        starts, ends = _texts(columns[part], rows, wide)
        modulus = np.uint64(buckets[part])
        for i in range(rows):
            first, start, end = n, starts[i], ends[i]
            # Without separators in the column, the first word is the whole text.
            at = start if separators[part] else end
            while start < end:
                while at < end and data[at] != separator:
                    at += 1
                if at > start:
                    h = farm64(data, start, at) if farm else murmur64(data, start, at)
                    ids[n] = np.int64(h % modulus)
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
        data = carray(_pointer(columns[part, DATA]), columns[part, BYTES])
        starts, ends = _texts(columns[part], rows, wide)
        for i in range(rows):
            number, plain = parse_plain_float(data, starts[i], ends[i])
            if starts[i] == ends[i]:
                number, plain = 1.0, True
                missing[left] = part * rows + i
                left += 1
            if not plain:
                return numbers, missing[:left], False
            numbers[part * rows + i] = number
    return numbers, missing[:left], True
