"""A map from ids to rows that gives each live id a row of its own, and knows how often and when it was last seen.

The map of a table is cut into buckets; how many is a matter of its size alone. A process of several holds a run of them
and the rows that belong to these, so that neither an id's row nor what is evicted depends on the number of processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from tzx.runtime.embedding.dynamic import kernels
from tzx.runtime.embedding.dynamic.kernels import Arrays, Int64
from tzx.runtime.embedding.table_memory import aligned
from tzx.runtime.embedding.threads import even_bounds, on_threads
from tzx.runtime.errors import StorageError

BYTES_PER_ROW = 28  # 5 lines of 64 for 16 rows, and 8 for what was seen
MOST_ROWS = 2**31 - 1
_ROWS_PER_BUCKET = 4096
_MOST_BUCKET_BITS = 10
_WORTH_A_THREAD = 1 << 13  # ids; they take some ten times as long as waking a thread
NO_COUNTS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Part:
    """Which share of every map a process holds."""

    rank: int = 0
    world_size: int = 1


WHOLE = Part()


@dataclass(frozen=True)
class Eviction:
    """What is given up when rows are short: `policy` of kernels.py, and the exponent of DISTANCE_LFU."""

    policy: int
    exponent: float = 1.0


def bucket_bits(rows: int) -> int:
    """log2 of the number of buckets of a map."""
    return min(max(rows // _ROWS_PER_BUCKET, 1).bit_length() - 1, _MOST_BUCKET_BITS)


def owners(ids: Int64, rows: int, world_size: int) -> Int64:
    """The rank that holds each id, of a map of so many rows."""
    bits = bucket_bits(rows)
    return kernels.bucket_numbers(ids, bits) * world_size >> bits


def _buckets(part: Part, bits: int) -> tuple[int, int]:
    mine = np.flatnonzero(np.arange(1 << bits) * part.world_size >> bits == part.rank)
    return (int(mine[0]), int(mine[-1]) + 1) if len(mine) else (0, 0)


class IdMap:
    """The share of a map that one process holds.

    Args:
        rows: how many ids the whole map can hold.
        eviction: how to choose what is given up.
        part: which share.
        bits: log2 of the number of buckets, where it is not that of a map of so many rows.
    """

    def __init__(self, rows: int, eviction: Eviction, part: Part = WHOLE, bits: int | None = None) -> None:
        self.rows = rows
        self._eviction = eviction
        self._bits = bits = bucket_bits(rows) if bits is None else bits
        first, end = _buckets(part, bits)
        starts = np.arange(first, end + 1) * rows >> bits
        self.start = int(starts[0])
        buckets = np.zeros((end - first + 1, 3), np.int64)
        buckets[:, kernels.ROW] = starts - self.start
        buckets[:, kernels.CURSOR] = buckets[:, kernels.ROW]
        buckets[:-1, kernels.FREE] = sizes = np.diff(buckets[:, kernels.ROW])
        lines = int(sizes.max(initial=0)) * 5 // 16 + 1
        memory = aligned(len(sizes) * lines * kernels.LINE)
        seen = np.zeros(int(buckets[-1, kernels.ROW]), np.int64)
        shape = np.array([bits, first, lines], np.int64)
        self._arrays = Arrays(memory.view(np.int64), memory.view(np.uint32), seen, buckets, shape)

    def __len__(self) -> int:
        return len(self._arrays.seen) - int(self._arrays.buckets[:-1, kernels.FREE].sum())

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        t = self._arrays
        return t.rows.nbytes + t.seen.nbytes + t.buckets.nbytes

    def span(self, part: Part) -> tuple[int, int]:
        """The rows that a process holds, from the first to before the second."""
        first, end = _buckets(part, self._bits)
        return first * self.rows >> self._bits, end * self.rows >> self._bits

    def find(self, ids: Int64, absent: int = -1) -> Int64:
        """The row of each id, `absent` where it has none."""
        rows = np.empty(len(ids), np.int64)
        parts = min(torch.get_num_threads(), max(1, len(ids) // _WORTH_A_THREAD))

        def work(first: int, stop: int) -> None:
            kernels.find(self._arrays, ids[first:stop], rows[first:stop], self.start, absent)

        on_threads(work, even_bounds(len(ids), parts))
        return rows

    def touch(self, ids: Int64, counts: Int64, now: int) -> Int64:
        """Like `find`, counting ids as seen `counts` times (no counts: once each) in step `now`."""
        rows = self.find(ids)
        kernels.see(self._arrays, rows, self.start, counts, now)
        return rows

    def insert(self, ids: Int64, counts: Int64, now: int, may_evict: bool = True) -> tuple[Int64, int]:
        """Give rows to different ids that have none, in their order.

        Args:
            ids: ids of this process's buckets.
            counts: how often they have been seen.
            now: the step; ids seen in it are not evicted.
            may_evict: whether others may lose their rows for it.

        Returns:
            Their rows, -1 where there was no room, and how many others were evicted.
        """
        evicted = 0
        if may_evict and self._eviction.policy != kernels.NEVER:
            evicted = kernels.make_room(self._arrays, ids, self._eviction.policy, self._eviction.exponent, now)
        rows = kernels.insert(self._arrays, ids, counts, now)
        rows[rows >= 0] += self.start
        return rows, evicted

    def remove(self, ids: Int64) -> None:
        """Forget ids."""
        kernels.remove(self._arrays, ids)

    def count_of(self, rows: Int64) -> Int64:
        """How often the ids of these rows have been seen."""
        return self._arrays.seen[rows - self.start] >> 32

    def state(self) -> dict[str, np.ndarray]:
        """Ids, counts and steps last seen, by row; all 0 in free rows."""
        seen = self._arrays.seen
        return {
            "ids": kernels.ids_of_rows(self._arrays),
            "counts": (seen >> 32).astype(np.int32),
            "last_steps": (seen & 0xFFFFFFFF).astype(np.int32),
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Become the map that `state` was taken of, under any number of processes.

        Raises:
            StorageError: the state cannot come from a map of this size.
        """
        self._arrays.seen[:] = state["counts"].astype(np.int64) << 32 | state["last_steps"]
        wrong = kernels.rebuild(self._arrays, state["ids"])
        if wrong >= 0:
            raise StorageError(f"id {state['ids'][wrong]} cannot be in row {self.start + wrong}")
