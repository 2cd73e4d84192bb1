"""One process's share of an id map together with the counters of ids that wait to be admitted."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tzx.runtime.config.thresholds import Threshold
from tzx.runtime.embedding.dynamic import kernels
from tzx.runtime.embedding.dynamic.id_map import WHOLE, Eviction, IdMap, Part, bucket_bits
from tzx.runtime.embedding.dynamic.initial import uniform_of
from tzx.runtime.embedding.dynamic.kernels import Int64
from tzx.runtime.embedding.dynamic.specs import IdMapSpec

LIVE, WAITING = "live", "waiting"


@dataclass
class Tally:
    """What happened to ids, counted by occurrence (seen, hits, misses) or by id (admitted, evicted)."""

    seen: int = 0
    hits: int = 0
    misses: int = 0
    admitted: int = 0
    evicted: int = 0


@dataclass
class NewRows:
    """Rows that have just been given to ids, and these ids."""

    rows: list[Int64] = field(default_factory=list)
    ids: list[Int64] = field(default_factory=list)


class IdTable:
    """Rows for ids: those that live have one each, all others share the last row of the table.

    Args:
        spec: of the whole map.
        part: the share that this process holds.
        seed: of admission by chance.
    """

    def __init__(self, spec: IdMapSpec, part: Part = WHOLE, seed: int = 0) -> None:
        self.spec = spec
        self.tally = Tally()
        self.new = NewRows()
        self._seed = seed
        self._live = IdMap(spec.rows - 1, spec.eviction, part)
        self._waiting: IdMap | None = None
        if spec.threshold.kind in ("count", "mean"):
            # Counters must lie where the ids' rows do, so they have as many buckets, however many counters there are.
            bits = bucket_bits(spec.rows - 1)
            self._waiting = IdMap(max(spec.counter_rows, 1 << bits), Eviction(kernels.LRU), part, bits)

    def __len__(self) -> int:
        return len(self._live)

    @property
    def maps(self) -> dict[str, IdMap]:
        """The maps whose states make up that of this table."""
        return {LIVE: self._live} | ({WAITING: self._waiting} if self._waiting is not None else {})

    def find(self, ids: Int64) -> Int64:
        """Rows of ids, without any effect."""
        return self._live.find(ids, self.spec.miss_row)

    def learn(self, ids: Int64, counts: Int64, now: int) -> Int64:
        """Rows of ids, which are counted as seen in step `now`, and get a row if they are to have one.

        Args:
            ids: ids of this process's share, in the order that decides when rows are short.
            counts: how often each was seen; empty for once each.
            now: a number that rises from step to step.
        """
        rows = self._live.touch(ids, counts, now)
        missing = np.flatnonzero(rows < 0)
        seen = counts.sum() if len(counts) else len(ids)
        lost = 0
        if len(missing):
            counts = counts[missing] if len(counts) else counts
            new, totals, places = kernels.distinct(ids[missing], counts)
            given = self._admit(new, totals, now)
            rows[missing] = given[places]
            lost = int(totals[given < 0].sum())
            self.tally.hits -= int(totals.sum())
        self.tally.seen += int(seen)
        self.tally.hits += int(seen)
        self.tally.misses += lost
        rows[rows < 0] = self.spec.miss_row
        return rows

    def take_new(self) -> tuple[Int64, Int64]:
        """Rows given to ids since the last call, and the ids."""
        new, self.new = self.new, NewRows()
        none = np.zeros(0, np.int64)
        return np.concatenate([none, *new.rows]), np.concatenate([none, *new.ids])

    def _admit(self, ids: Int64, seen: Int64, now: int) -> Int64:
        counts = self._count(ids, seen, now)
        chosen = np.flatnonzero(self._admits(ids, seen, counts, now))
        given = np.full(len(ids), -1, np.int64)
        may_evict = now % self.spec.interval == 0
        given[chosen], evicted = self._live.insert(ids[chosen], counts[chosen], now, may_evict)
        entered = np.flatnonzero(given >= 0)
        if self._waiting is not None:
            self._waiting.remove(ids[entered])
        self.new.rows.append(given[entered])
        self.new.ids.append(ids[entered])
        self.tally.admitted += len(entered)
        self.tally.evicted += evicted
        return given

    def _count(self, ids: Int64, seen: Int64, now: int) -> Int64:
        """How often ids without a row have been seen, as far as that is counted."""
        if self._waiting is None:
            return seen
        places = self._waiting.touch(ids, seen, now)
        uncounted = np.flatnonzero(places < 0)
        places[uncounted], _ = self._waiting.insert(ids[uncounted], seen[uncounted], now)
        counts, counted = seen.copy(), np.flatnonzero(places >= 0)
        counts[counted] = self._waiting.count_of(places[counted])
        return counts

    def _admits(self, ids: Int64, seen: Int64, counts: Int64, now: int) -> npt.NDArray[np.bool_]:
        threshold: Threshold = self.spec.threshold
        if threshold.kind == "count":
            return counts >= threshold.value
        if threshold.kind == "chance":
            return uniform_of(ids, self._seed ^ now) < 1 - (1 - threshold.value) ** seen.astype(np.float64)
        if threshold.kind == "mean":
            buckets = kernels.bucket_numbers(ids, bucket_bits(self.spec.rows - 1))
            size = int(buckets.max(initial=0)) + 1
            means = np.bincount(buckets, counts, size) / np.maximum(np.bincount(buckets, minlength=size), 1)
            return counts > threshold.value * means[buckets]
        return np.ones(len(ids), np.bool_)
