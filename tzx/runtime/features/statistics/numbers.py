"""Mean, spread and quantiles of numbers in one pass.

Moments are merged after Chan et al. (1979). Quantiles are exact while there are few distinct numbers, then a t-digest
(Dunning and Ertl 2019, "Computing extremely accurate quantiles using t-digests", scale function k1).
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tzx.runtime.features.arrays import Int64

EXACT = 1024  # distinct numbers kept as they are
CENTROIDS = 512
ALONE = 2 / CENTROIDS  # share from which on a number is joined with no other, such as the zeros among amounts
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
Float64 = npt.NDArray[np.float64]


def _none() -> Float64:
    return np.zeros(0, np.float64)


@dataclass
class Numbers:
    """Finite numbers as `points` with `weights`, and how many there were of the others."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of the squared distances from the mean
    low: float = math.inf
    high: float = -math.inf
    zeros: int = 0
    nan: int = 0
    infinite: int = 0
    exact: bool = True
    points: Float64 = field(default_factory=_none)
    weights: Float64 = field(default_factory=_none)

    def add(self, numbers: npt.ArrayLike, counts: Int64) -> None:
        """Count numbers [K] so often."""
        values = np.asarray(numbers, np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            is_nan = np.isnan(values)
            self.nan += int(counts[is_nan].sum())
            self.infinite += int(counts[~finite & ~is_nan].sum())
            values, counts = values[finite], counts[finite]
        if not len(values):
            return
        total = int(counts.sum())
        mean = float(np.average(values, weights=counts))
        part = Numbers(total, mean, float((counts * (values - mean) ** 2).sum()), float(values.min()))
        part.high, part.zeros = float(values.max()), int(counts[values == 0].sum())
        part.points, part.weights = values, counts.astype(np.float64)
        self.merge(part)

    @staticmethod
    def of(number: float, count: int) -> "Numbers":
        """One number, so often."""
        made = Numbers()
        made.add([number], np.array([count], np.int64))
        return made

    def merge(self, other: "Numbers") -> None:
        """Count what another has seen."""
        self.nan, self.infinite, self.zeros = (
            self.nan + other.nan,
            self.infinite + other.infinite,
            self.zeros + other.zeros,
        )
        if not other.count:
            return
        total = self.count + other.count
        apart = other.mean - self.mean
        self.squares += other.squares + apart * apart * self.count * other.count / total
        self.mean += apart * other.count / total
        self.count = total
        self.low, self.high = min(self.low, float(other.low)), max(self.high, float(other.high))
        self.exact = self.exact and other.exact
        self._combine(other.points, other.weights)

    def _combine(self, points: Float64, weights: Float64) -> None:
        together, places = np.unique(np.concatenate([self.points, points]), return_inverse=True)
        sums: Float64 = np.bincount(places, np.concatenate([self.weights, weights]), len(together)).astype(np.float64)
        if len(together) > (EXACT if self.exact else 2 * CENTROIDS):
            together, sums = _compress(together, sums)
            self.exact = False
        self.points, self.weights = together, sums

    @property
    def deviation(self) -> float:
        """Standard deviation of the population."""
        return math.sqrt(max(0.0, self.squares) / self.count) if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The number that `share` of all numbers are at most; NaN without numbers."""
        if not self.count:
            return math.nan
        running = np.cumsum(self.weights)
        if self.exact:
            at = int(np.searchsorted(running, share * self.count * (1 - 1e-12), side="left"))
            return float(self.points[min(at, len(self.points) - 1)])
        points, ranks = self._curve()
        return float(np.interp(share * self.count, ranks, points))

    def below(self, edges: Float64) -> Float64:
        """How many numbers are smaller than each edge, estimated."""
        running = np.cumsum(self.weights)
        if self.exact:
            return np.concatenate([[0.0], running])[np.searchsorted(self.points, edges, side="left")]
        points, ranks = self._curve()
        return np.interp(edges, points, ranks)

    def _curve(self) -> tuple[Float64, Float64]:
        """Numbers, and how many are at most these: a step at a number of its own, a line through joined ones."""
        running = np.cumsum(self.weights)
        alone = self.weights > ALONE * self.count
        before = np.where(alone, running - self.weights, running - self.weights / 2)
        after = np.where(alone, running, running - self.weights / 2)
        points = np.concatenate([[self.low], np.repeat(self.points, 2), [self.high]])
        return points, np.concatenate([[0.0], np.stack([before, after], axis=1).ravel(), [float(self.count)]])

    def summary(self) -> dict[str, Any]:
        """What a person wants to know."""
        known: dict[str, Any] = {"count": self.count, "nan": self.nan, "infinite": self.infinite, "zeros": self.zeros}
        if self.count:
            known |= {"mean": self.mean, "std": self.deviation, "exact_quantiles": self.exact}
            known["quantiles"] = {f"{share:g}": self.quantile(share) for share in QUANTILES}
        return known

    def to_json(self) -> dict[str, Any]:
        """Stored form."""
        counted = {name: getattr(self, name) for name in ("count", "zeros", "nan", "infinite", "exact")}
        moments = (
            {name: float(getattr(self, name)) for name in ("mean", "squares", "low", "high")} if self.count else {}
        )
        points = zip(self.points.tolist(), self.weights.astype(np.int64).tolist(), strict=True)
        return {**counted, **moments, "points": [list(pair) for pair in points]}

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Numbers":
        """Read the stored form."""
        fields = {key: value for key, value in record.items() if key != "points"}
        made = Numbers(**fields)
        pairs = np.array(record["points"], np.float64).reshape(-1, 2)
        made.points, made.weights = pairs[:, 0].copy(), pairs[:, 1].copy()
        return made


def _compress(points: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Join neighbours, few at both ends and many in the middle."""
    running = np.cumsum(weights)
    middles = (running - weights / 2) / running[-1]
    bins = np.floor((np.arcsin(2 * middles - 1) / np.pi + 0.5) * CENTROIDS)
    alone = weights > ALONE * running[-1]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(bins) > 0) | alone[1:] | alone[:-1]]))
    sums = np.add.reduceat(weights, starts)
    return np.add.reduceat(points * weights, starts) / sums, sums
