"""Which rows a process makes features of. Row groups stay whole, because shuffling permutes them."""

from collections.abc import Iterator

import numpy as np

from tzx.runtime.data.plan import Rows
from tzx.runtime.data.readers import Chunk, Reader

READ_ROWS = 16384


def slices(boundaries: Rows, parts: int) -> Rows:
    """Where the rows of each of `parts` processes begin, and the number of rows, [parts + 1].

    Cut at units (row groups), where there are enough of them.
    """
    rows = int(boundaries[-1])
    even = np.arange(parts + 1, dtype=np.int64) * rows // parts
    if len(boundaries) <= parts:
        return even
    return boundaries[np.searchsorted(boundaries, even)]


def pieces(reader: Reader, start: int, stop: int) -> Iterator[tuple[Chunk, bool]]:
    """Rows start..stop in order, none across the end of a unit, and whether each is the last of its unit."""
    ends = reader.boundaries
    position = start
    for chunk in reader.chunks(np.array([[start, stop]], np.int64), READ_ROWS):
        taken = 0
        while taken < len(chunk.rows):
            end = int(ends[np.searchsorted(ends, position, side="right")])
            size = min(end - position, len(chunk.rows) - taken)
            position += size
            cut = slice(taken, taken + size)
            yield Chunk(chunk.batch.slice(taken, size), chunk.rows[cut]), position in (end, stop)
            taken += size
