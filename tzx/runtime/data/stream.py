"""The raw rows of one rank's epoch, in order, cut into batches. All that decides order lives here and in plan.py.

Workers never read files: they are given rows that this one stream has put in order, so their number cannot matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tzx.runtime.data.plan import Plan, Rows
from tzx.runtime.data.readers import Chunk, Reader
from tzx.runtime.errors import DataError

_READ_ROWS = 16384  # rows decoded at a time, where the batch size does not ask for more
_MOST_ROWS = 1 << 20  # of a batch cut by cost, where costs are (nearly) all zero


@dataclass(frozen=True)
class Cut:
    """When a batch is full: at `size` rows or, if `cost_field` is set, before its sum of costs exceeds `cost`.

    Without costs, `together` batches come as one chunk.
    """

    size: int
    cost_field: str = ""
    cost: int = 0
    drop_last: bool = False
    together: int = 1

    @property
    def rows(self) -> int:
        """Of a chunk that is not cut by cost."""
        return self.size * self.together

    def kept(self, rows: int) -> int:
        """How many of the last `rows` make batches."""
        if not self.drop_last:
            return rows
        return 0 if self.cost_field else rows - rows % self.size

    def rows_of(self, reader: Reader, chunk: Chunk, spent: float) -> tuple[int, float, bool]:
        """How many rows of `chunk` still fit after `spent` (rows or cost), what they cost, and if that fills it."""
        if not self.cost_field:
            room = self.rows - int(spent)
            taken = min(room, chunk.batch.num_rows)
            return taken, taken, taken == room
        total = np.cumsum(_costs(reader, chunk, self.cost_field)) + spent
        taken = int(np.searchsorted(total, self.cost, side="right"))
        full = taken < len(total)
        if taken == 0 and spent == 0:  # a row dearer than the limit is a batch by itself
            return 1, float(total[0]), True
        return taken, float(total[taken - 1] - spent) if taken else 0.0, full


def batches(reader: Reader, plan: Plan, consumed: int, cut: Cut) -> Iterator[Chunk]:
    """Chunks of one batch, or of several, of `plan` after its first `consumed` rows."""
    parts: list[Chunk] = []
    spent, rows = 0.0, 0
    for chunk in _ordered(reader, plan, consumed, cut.rows):
        while chunk.batch.num_rows:
            taken, cost, full = cut.rows_of(reader, chunk, spent)
            if taken:
                parts.append(slice_rows(chunk, 0, taken))
            spent, rows = spent + cost, rows + taken
            chunk = slice_rows(chunk, taken)
            if full or rows >= max(_MOST_ROWS, cut.rows):
                yield join(parts)
                parts, spent, rows = [], 0.0, 0
    if cut.kept(rows):
        yield slice_rows(join(parts), 0, cut.kept(rows))


def join(chunks: list[Chunk]) -> Chunk:
    """One chunk of the rows of several, taking them out of the list; a single one is passed on uncopied."""
    if len(chunks) == 1:
        return chunks.pop()
    schema = chunks[0].batch.schema
    columns = [[chunk.batch.column(i) for chunk in chunks] for i in range(len(schema))]
    rows = np.concatenate([chunk.rows for chunk in chunks])
    chunks.clear()
    # Each column goes as soon as it is copied, so that memory holds the rows once and one column twice.
    columns.reverse()
    arrays = [_one_array(columns.pop()) for _ in schema]
    return Chunk(pa.RecordBatch.from_arrays(arrays, schema=schema), rows)


def _one_array(pieces: list[pa.Array]) -> pa.Array:
    try:
        return pa.concat_arrays(pieces)
    except pa.ArrowInvalid:
        raise DataError(
            "a text column of the shuffle buffer exceeds 2 GiB;"
            " lower data_config.shuffle_buffer_size or data_config.batch_size"
        ) from None


def _ordered(reader: Reader, plan: Plan, consumed: int, batch_rows: int) -> Iterator[Chunk]:
    """Chunks in the plan's order; whole batches where possible, so that cutting copies nothing."""
    chunks = reader.chunks(plan.pieces(consumed), batch_rows * max(1, _READ_ROWS // batch_rows))
    if not plan.is_shuffled:
        yield from chunks
        return
    rest: list[Chunk] = []
    for block in plan.blocks(consumed):
        parts, rest = _gather(chunks, rest, block.num_rows)
        order = block.permutation[block.skip :]
        if len(order):
            yield from _permuted(join(parts), order, batch_rows)


def _gather(chunks: Iterator[Chunk], parts: list[Chunk], rows: int) -> tuple[list[Chunk], list[Chunk]]:
    """Add to `parts` until they hold `rows` rows; returns these and what is over."""
    missing = rows - sum(len(part.rows) for part in parts)
    while missing > 0:
        parts.append(next(chunks))
        missing -= len(parts[-1].rows)
    if missing == 0:
        return parts, []
    last = parts.pop()
    cut = len(last.rows) + missing
    return [*parts, slice_rows(last, 0, cut)], [slice_rows(last, cut)]


def _permuted(block: Chunk, order: Rows, batch_rows: int) -> Iterator[Chunk]:
    for start in range(0, len(order), batch_rows):
        chosen = order[start : start + batch_rows]
        yield Chunk(block.batch.take(pa.array(chosen)), block.rows[chosen])


def slice_rows(chunk: Chunk, start: int, stop: int | None = None) -> Chunk:
    """Rows [start, stop) of a chunk, uncopied."""
    stop = len(chunk.rows) if stop is None else stop
    return Chunk(chunk.batch.slice(start, stop - start), chunk.rows[start:stop])


def _costs(reader: Reader, chunk: Chunk, name: str) -> npt.NDArray[np.float64]:
    column = chunk.batch.column(name)
    costs = column.to_numpy(zero_copy_only=False).astype(np.float64)
    bad = ~(costs >= 0)
    if bad.any():
        row = int(np.argmax(bad))
        place = reader.place(int(chunk.rows[row]))
        raise DataError(f"{place}: sample cost {name!r} is {column[row].as_py()}; costs are numbers from 0 up")
    return costs
