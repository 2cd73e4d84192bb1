"""Several numbers of a slot to one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.ragged import Ragged

Float64 = npt.NDArray[np.float64]
Combiner = Callable[[Float64, Int64, Int32], Float64]


def _gaps(numbers: Float64, firsts: Int64, counts: Int32) -> Float64:
    """Differences of neighbours in rising order, slot by slot; the first place of a slot repeats its second one."""
    slots = np.repeat(np.arange(len(counts)), counts)
    rising = numbers[np.lexsort((numbers, slots))]
    gaps = np.zeros(len(rising), np.float64)
    gaps[1:] = np.diff(rising)
    several = counts > 1
    gaps[firsts[several]] = gaps[firsts[several] + 1]
    gaps[firsts[~several]] = 0
    return gaps


# Arguments: numbers, where each slot that has some begins, and how many it has.
COMBINERS: dict[str, Combiner] = {
    "sum": lambda numbers, firsts, counts: np.add.reduceat(numbers, firsts),
    "mean": lambda numbers, firsts, counts: np.add.reduceat(numbers, firsts) / counts,
    "avg": lambda numbers, firsts, counts: np.add.reduceat(numbers, firsts) / counts,
    "min": lambda numbers, firsts, counts: np.minimum.reduceat(numbers, firsts),
    "max": lambda numbers, firsts, counts: np.maximum.reduceat(numbers, firsts),
    "gap_min": lambda numbers, firsts, counts: np.minimum.reduceat(_gaps(numbers, firsts, counts), firsts),
    "gap_max": lambda numbers, firsts, counts: np.maximum.reduceat(_gaps(numbers, firsts, counts), firsts),
    "count": lambda numbers, firsts, counts: counts.astype(np.float64),
}


def check_combiner(name: str, also: Sequence[str] = ()) -> str:
    """The name of a combiner, if it is one.

    Raises:
        ConfigError: it is none.
    """
    if name not in COMBINERS and name not in also:
        raise ConfigError(f"combiner is {name!r}; allowed are {', '.join(COMBINERS)}")
    return name


def combine(ragged: Ragged, numbers: npt.NDArray[np.generic], combiner: str) -> Ragged:
    """One number for every slot that has values; missing slots stay missing.

    Args:
        ragged: slots that `numbers` lie in.
        numbers: one for each of its values.
        combiner: a name of COMBINERS.
    """
    there = ragged.lengths > 0
    counts = ragged.lengths[there]
    lengths = there.astype(np.int32)
    if not len(counts):
        return replace(ragged, values=np.zeros(0, np.float64), lengths=lengths, items=None)
    firsts = (np.cumsum(ragged.lengths, dtype=np.int64) - ragged.lengths)[there]
    combined = COMBINERS[combiner](numbers.astype(np.float64), firsts, counts)
    return replace(ragged, values=combined, lengths=lengths, items=None)
