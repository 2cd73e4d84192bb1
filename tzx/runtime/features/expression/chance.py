"""rnd(): a number in [0, 1) that depends on the row alone.

A row must give the same feature offline, in training and in serving, whatever rows surround it. So the number is a hash
(splitmix64, Steele et al. 2014) of the row's variables and of which rnd() of the formula asks.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tzx.runtime.features.expression.vectors import Array, Operand, Vectors
from tzx.runtime.features.ragged import places_in_slot

Bits = npt.NDArray[np.uint64]
GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def _mix(bits: Bits) -> Bits:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _bits(operand: Operand) -> Bits:
    """Hash of the values of every slot."""
    # + 0.0 makes one zero of the two that there are.
    if not isinstance(operand, Vectors):
        return _mix(np.asarray(operand + 0.0, np.float64).view(np.uint64))
    places = places_in_slot(operand.lengths.astype(np.int32)).astype(np.uint64)
    mixed = _mix((operand.values + 0.0).view(np.uint64) + places * np.uint64(GOLDEN))
    return np.add.reduceat(mixed, operand.starts) if len(operand.lengths) else mixed


def random_numbers(variables: Mapping[str, Operand], seed: int) -> Array:
    """One number per slot, or one for all when there are no variables."""
    state: Bits = np.array((seed + 1) * GOLDEN & MASK, np.uint64)
    with np.errstate(over="ignore"):
        for name in sorted(variables):
            state = _mix(state * np.uint64(GOLDEN) + _bits(variables[name]))
        return (_mix(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53
