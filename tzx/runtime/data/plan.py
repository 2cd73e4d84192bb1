"""Which rows a rank reads in an epoch and in which order: integer arithmetic, no files.

The rows of all files are numbered through, 0..N. A `Plan` says for one rank which of them come in which order; it is
a pure function of the numbers below, so the order depends neither on workers nor on what has been read before.

* The rows not yet consumed (all, in a fresh epoch) are split into contiguous slices of equal size, one per rank.
* Shuffling permutes the units (row groups) of the slice, then the rows within consecutive blocks of `block_rows`.
* What has been consumed is a number per rank: the first n rows of its order.

A position is a flat mapping of integers, so that it can be stored as JSON and merged over ranks:
`<g>.world_size`, `<g>.block_rows`, `<g>.seed`, `<g>.epoch`, `<g>.rank.<r>` = rows consumed by rank r, for each
generation g, and `rows`, the size of the data set. A resume with the same settings goes on exactly where each rank
stopped; one with another world size starts generation g+1 on what generation g has left.

Legend: intervals int64 [K, 2] are half-open, sorted and disjoint unless said otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tzx.runtime.errors import UserError

Intervals = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """What, besides the data, decides the order of rows. `block_rows` 0 means no shuffling."""

    world_size: int
    block_rows: int
    seed: int
    epoch: int


@dataclass(frozen=True)
class Block:
    """The next rows of a shuffled plan: `num_rows` of `pieces`, put into the order `permutation`."""

    num_rows: int
    permutation: Rows
    skip: int  # rows at the front of that order that are already consumed


class Plan:
    """The row order of one rank, from its position on."""

    def __init__(self, intervals: Intervals, settings: Settings, key: tuple[int, int], boundaries: Rows) -> None:
        """`intervals` is this rank's slice, `key` = (generation, rank), `boundaries` the starts of units and N."""
        self._settings = settings
        self._key = key
        self.num_rows = count(intervals)
        self._pieces = self._order_units(_cut(intervals, boundaries), boundaries) if settings.block_rows else intervals

    @property
    def is_shuffled(self) -> bool:
        """Whether rows are permuted, block by block."""
        return bool(self._settings.block_rows)

    def pieces(self, consumed: int = 0) -> Intervals:
        """What to read, in this order, when `consumed` rows are done: from the start of the block that is under way."""
        return _select(self._pieces, consumed - consumed % max(1, self._settings.block_rows), self.num_rows)

    def blocks(self, consumed: int = 0) -> Iterator[Block]:
        """How to permute the rows of `pieces(consumed)`."""
        step = self._settings.block_rows
        for number in range(consumed // step, -(-self.num_rows // step)):
            start, end = number * step, min((number + 1) * step, self.num_rows)
            yield Block(end - start, self._permutation(number, end - start), max(0, consumed - start))

    def remaining(self, consumed: int) -> Intervals:
        """The rows after the first `consumed`, as sorted intervals."""
        step = self._settings.block_rows
        if not step:
            return _select(self._pieces, consumed, self.num_rows)
        start = consumed // step * step
        end = min(start + step, self.num_rows)
        order = self._permutation(consumed // step, end - start)[consumed - start :]
        rows = _rows_of(_select(self._pieces, start, end))[order]
        return merge(np.concatenate([_select(self._pieces, end, self.num_rows), np.stack([rows, rows + 1], axis=1)]))

    def _permutation(self, block: int, rows: int) -> Rows:
        return self._generator(1, block).permutation(rows)

    def _generator(self, *purpose: int) -> np.random.Generator:
        key = (self._settings.seed, self._settings.epoch, *self._key, *purpose)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))

    def _order_units(self, pieces: Intervals, boundaries: Rows) -> Intervals:
        unit = np.searchsorted(boundaries, pieces[:, 0], side="right")
        rank_of_unit = self._generator(0).permutation(len(boundaries) + 1)
        return pieces[np.argsort(rank_of_unit[unit], kind="stable")]


class Position:
    """Generations of (settings, rows consumed per rank), as stored in a checkpoint."""

    def __init__(self, num_rows: int, generations: list[tuple[Settings, dict[int, int]]]) -> None:
        self.num_rows = num_rows
        self.generations = generations

    @staticmethod
    def parse(state: Mapping[str, int], num_rows: int) -> "Position":
        """Read a stored position and check that it belongs to a data set of `num_rows` rows."""
        if state.get("rows", num_rows) != num_rows:
            raise UserError(
                f"the stored data position belongs to a data set of {state['rows']} rows, but this one has {num_rows};"
                " give the same input files, or start from the parameters alone with --fine_tune_checkpoint and a new"
                " --model_dir"
            )
        generations: list[tuple[Settings, dict[int, int]]] = []
        while f"{len(generations)}.world_size" in state:
            g = len(generations)
            settings = Settings(*(int(state[f"{g}.{name}"]) for name in ("world_size", "block_rows", "seed", "epoch")))
            consumed = {r: int(state.get(f"{g}.rank.{r}", 0)) for r in range(settings.world_size)}
            generations.append((settings, consumed))
        return Position(num_rows, generations)

    def advance(self, settings: Settings) -> "Position":
        """The position to go on from under `settings`: the same, or with a new generation."""
        if self.generations and self.generations[-1][0] == settings:
            return self
        return Position(self.num_rows, [*self.generations, (settings, {})])

    def state(self, rank: int, consumed: int) -> dict[str, int]:
        """The stored form, after `rank` has consumed so many rows of the newest generation."""
        result = {"rows": self.num_rows}
        for g, (settings, ranks) in enumerate(self.generations):
            result |= {
                f"{g}.world_size": settings.world_size,
                f"{g}.block_rows": settings.block_rows,
                f"{g}.seed": settings.seed,
                f"{g}.epoch": settings.epoch,
            }
            if g < len(self.generations) - 1:
                result |= {f"{g}.rank.{r}": n for r, n in ranks.items()}
        result[f"{len(self.generations) - 1}.rank.{rank}"] = consumed
        return result

    def plan(self, rank: int, boundaries: Rows) -> tuple[Plan, int]:
        """The plan of `rank` in the newest generation, and how many of its rows are consumed."""
        left = np.array([[0, self.num_rows]], np.int64)
        for g, (settings, ranks) in enumerate(self.generations[:-1]):
            plans = [
                Plan(split(left, settings.world_size, r), settings, (g, r), boundaries)
                for r in range(settings.world_size)
            ]
            left = merge(np.concatenate([p.remaining(ranks[r]) for r, p in enumerate(plans)]))
        settings, ranks = self.generations[-1]
        key = (len(self.generations) - 1, rank)
        return Plan(split(left, settings.world_size, rank), settings, key, boundaries), ranks.get(rank, 0)


def merge_positions(positions: Iterable[Mapping[str, int] | None]) -> dict[str, int]:
    """One position from those of all ranks at the same step.

    A rank without a batch so far gives None or the position it started from; hence the larger number counts.
    """
    merged: dict[str, int] = {}
    for position in positions:
        for key, number in (position or {}).items():
            merged[key] = max(number, merged.get(key, 0))
    return merged


def count(intervals: Intervals) -> int:
    """Rows in `intervals`."""
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def split(intervals: Intervals, parts: int, part: int) -> Intervals:
    """Slice number `part` of `parts` slices that differ by at most one row, the first ones being the longer."""
    size, rest = divmod(count(intervals), parts)
    start = part * size + min(part, rest)
    return _select(intervals, start, start + size + (part < rest))


def merge(intervals: Intervals) -> Intervals:
    """Sort and join neighbours."""
    intervals = intervals[intervals[:, 0] < intervals[:, 1]]
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    if not len(intervals):
        return intervals
    opens = np.concatenate([[True], intervals[1:, 0] != intervals[:-1, 1]])
    closes = np.concatenate([opens[1:], [True]])
    return np.stack([intervals[opens, 0], intervals[closes, 1]], axis=1)


def _select(pieces: Intervals, start: int, end: int) -> Intervals:
    """Rows start..end of the rows of `pieces` laid end to end."""
    ends = np.cumsum(pieces[:, 1] - pieces[:, 0])
    starts = ends - (pieces[:, 1] - pieces[:, 0])
    lows = pieces[:, 0] + np.clip(start - starts, 0, None)
    highs = pieces[:, 1] - np.clip(ends - end, 0, None)
    keep = lows < highs
    return np.stack([lows[keep], highs[keep]], axis=1)


def _cut(intervals: Intervals, boundaries: Rows) -> Intervals:
    """Cut `intervals` at `boundaries`, so that no piece crosses one."""
    inside = boundaries[np.searchsorted(intervals[:, 1], boundaries, side="right") < len(intervals)]
    edges = np.unique(np.concatenate([intervals.ravel(), inside]))
    pieces = np.stack([edges[:-1], edges[1:]], axis=1)
    owner = np.searchsorted(intervals[:, 0], pieces[:, 0], side="right") - 1
    return pieces[(owner >= 0) & (pieces[:, 0] < intervals[np.maximum(owner, 0), 1])]


def _rows_of(pieces: Intervals) -> Rows:
    lengths = pieces[:, 1] - pieces[:, 0]
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) + np.repeat(pieces[:, 0] - (ends - lengths), lengths)
