"""The most frequent values: counters in the manner of Space-Saving (Metwally et al. 2005, "Efficient computation of
frequent and top-k elements in data streams"), a batch at a time.

A value that has to make room is forgotten. When it comes back it may have been seen `floor` times, the most that any
forgotten value can have been; that much its count may be too low, and each counter knows its own `missed`. While there
are at most KEPT distinct values all counts are exact, as are those of values that never had to make room.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.numbers import to_strings
from tzx.runtime.features.ragged import Values

KEPT = 512
SHOWN_BYTES = 80


def _none() -> Int64:
    return np.zeros(0, np.int64)


@dataclass
class Frequent:
    """Counters by hash (sorted), and the text of every value that has one."""

    hashes: Int64 = field(default_factory=_none)
    counts: Int64 = field(default_factory=_none)
    missed: Int64 = field(default_factory=_none)
    texts: dict[int, str] = field(default_factory=dict)
    floor: int = 0

    def add(self, hashes: Int64, counts: Int64, values: Values) -> None:
        """Count distinct values [K] so often."""
        places, rest = np.arange(len(hashes)), 0
        if len(hashes) > KEPT:
            chosen = np.isin(hashes, self.hashes)
            chosen[np.argpartition(-counts, KEPT)[:KEPT]] = True
            # None of the rest can displace the KEPT values that are more frequent in this batch alone.
            places, rest = np.flatnonzero(chosen), int(counts[~chosen].max(initial=0))
        places = places[np.argsort(hashes[places])]
        forgotten = self.floor + rest if rest else 0
        self.merge(Frequent(hashes[places], counts[places], np.zeros(len(places), np.int64)))
        self.floor = max(self.floor, forgotten)
        self._name(hashes, places, values)

    def _name(self, hashes: Int64, places: Int64, values: Values) -> None:
        """Keep the texts of counted values, and only those."""
        known = {key: self.texts[key] for key in self.hashes.tolist() if key in self.texts}
        new = places[np.isin(hashes[places], self.hashes)]
        new = np.array([at for at in new.tolist() if int(hashes[at]) not in known], np.int64)
        strings = to_strings(values[new])
        for place, at in enumerate(new.tolist()):
            start, end = int(strings.starts[place]), int(strings.ends[place])
            text = strings.data[start : min(end, start + SHOWN_BYTES)].tobytes().decode("utf-8", "backslashreplace")
            known[int(hashes[at])] = text + ("..." if end - start > SHOWN_BYTES else "")
        self.texts = known

    def merge(self, other: "Frequent") -> None:
        """Count what another has seen."""
        together, places = np.unique(np.concatenate([self.hashes, other.hashes]), return_inverse=True)
        mine, others = places[: len(self.hashes)], places[len(self.hashes) :]
        counts = np.zeros(len(together), np.int64)
        missed = np.repeat(np.array([[self.floor], [other.floor]], np.int64), len(together), axis=1)
        counts[mine] += self.counts
        counts[others] += other.counts
        missed[0, mine], missed[1, others] = self.missed, other.missed
        self.texts |= other.texts
        self.floor += other.floor
        self._keep(together, counts, missed.sum(axis=0))

    def _keep(self, hashes: Int64, counts: Int64, missed: Int64) -> None:
        upper = counts + missed
        if len(hashes) > KEPT:
            order = np.lexsort((hashes, -upper))
            self.floor = max(self.floor, int(upper[order[KEPT]]))
            kept = np.sort(order[:KEPT])
            hashes, counts, missed = hashes[kept], counts[kept], missed[kept]
        self.hashes, self.counts, self.missed = hashes, counts, missed

    def top(self, number: int) -> list[tuple[str, int, int]]:
        """Values, counts and how much too low these may be; without those that may just as well be rare."""
        order = [at for at in self._order() if self.counts[at] > self.missed[at]][:number]
        return [(self.texts[int(self.hashes[at])], int(self.counts[at]), int(self.missed[at])) for at in order]

    def _order(self) -> list[int]:
        order: list[int] = np.lexsort((self.hashes, -self.counts)).tolist()
        return order

    def to_json(self) -> dict[str, Any]:
        """Stored form."""
        columns = (self.hashes.tolist(), self.counts.tolist(), self.missed.tolist())
        rows = list(zip(*columns, strict=True))
        return {"floor": self.floor, "counters": [[*rows[at], self.texts[rows[at][0]]] for at in self._order()]}

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Frequent":
        """Read the stored form."""
        rows = sorted(record["counters"])
        hashes, counts, missed = (np.array([row[at] for row in rows], np.int64) for at in range(3))
        return Frequent(hashes, counts, missed, {row[0]: row[3] for row in rows}, record["floor"])
