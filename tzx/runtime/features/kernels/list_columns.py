"""Several list columns of a batch at once, as sequences of ids: cut, checked, and never empty, in one pass.

They come as a table of int64, one row of `PLACES` per column.
"""

import numpy as np
from numba import carray, njit

from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.kernels.memory import is_null, pointer, read_bits, read_offsets

# Addresses of the first item, of the offsets and of the bits that tell nulls (0: there are none), and the first bit.
PLACES = ITEMS, OFFSETS, VALID, FIRST_BIT = range(4)


@njit(nogil=True, cache=True)
def _sizes(column: Int64, rows: int, wide: bool, most: int) -> tuple[Int64, Int64]:
    """Where every list starts, and how many of its items are kept, [rows] each; a null one is empty."""
    offsets = read_offsets(column[OFFSETS], rows, wide)
    sizes = np.minimum(offsets[1:] - offsets[:-1], most)
    bits = read_bits(column[VALID], column[FIRST_BIT] + rows)
    for i in range(len(bits) and rows):
        if is_null(bits, column[FIRST_BIT] + i):
            sizes[i] = 0
    return offsets[:-1], sizes


@njit(nogil=True, cache=True)
def take_lists(
    columns: Int64, rows: int, kind: tuple[bool, int], tables: Int64, defaults: Int64
) -> tuple[Int64, Int32, Int64]:
    """The first items of the lists of P columns, ids of tables of as many rows [P] (0: any); for none, the default [P].

    Args:
        columns: where they are, [P, PLACES]; items are int64 without nulls.
        rows: lists of each.
        kind: whether offsets have 64 bits, and how many items of a list are kept.
        tables: rows of the table of each column.
        defaults: id of each column.

    Returns:
        Ids [N], ids of each row [P * rows], and where the ids of each column start [P + 1]; the last one is -1 where an
        id is out of range, and the rest means nothing then.
    """
    wide, most = kind
    lengths = np.empty(len(columns) * rows, np.int32)
    bounds = np.zeros(len(columns) + 1, np.int64)
    for part in range(len(columns)):
        _, sizes = _sizes(columns[part], rows, wide, most)
        bounds[part + 1] = bounds[part]
        for i in range(rows):
            lengths[part * rows + i] = max(sizes[i], 1)
            bounds[part + 1] += max(sizes[i], 1)
    ids = np.empty(bounds[-1], np.int64)
    n = 0
    for part in range(len(columns)):
        starts, sizes = _sizes(columns[part], rows, wide, most)
        items = carray(pointer(columns[part, ITEMS]), 8 * (starts[-1] + sizes[-1])).view(np.int64)
        # As unsigned, a negative id is larger than any allowed one.
        largest = np.uint64(0)
        for i in range(rows):
            for j in range(starts[i], starts[i] + sizes[i]):
                ids[n] = items[j]
                largest = max(largest, np.uint64(items[j]))
                n += 1
            if sizes[i] == 0:
                ids[n] = defaults[part]
                n += 1
        if tables[part] > 0 and largest >= np.uint64(tables[part]):
            bounds[-1] = -1
            break
    return ids, lengths, bounds
