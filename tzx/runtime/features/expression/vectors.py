"""Vectors of different lengths, one per slot, as formulas see them.

A slot with a single value is a number, and goes with every value of another vector; of two vectors the shorter one is
filled up. Legend: S slots, N values over all slots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import places_in_slot

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Vectors:
    """`values` [N] in slots of `lengths` [S], every one at least 1."""

    values: Array
    lengths: Int64

    @property
    def starts(self) -> Int64:
        """Where each slot begins, [S]."""
        return np.cumsum(self.lengths) - self.lengths


# A number for all slots [], one per slot [S], or several.
Operand = Array | Vectors


def lift(call: Callable[..., Array], operands: Sequence[Operand], fill: float) -> Operand:
    """Apply an elementwise function to operands of any kind."""
    for operand in operands:
        if isinstance(operand, Vectors):
            break
    else:
        return call(*operands)
    lengths = common_lengths(operands)
    return Vectors(call(*(spread(operand, lengths, fill) for operand in operands)), lengths)


def common_lengths(operands: Sequence[Operand]) -> Int64:
    """Length of the longest operand of every slot, [S]."""
    lengths = np.ones((), np.int64)
    for operand in operands:
        if isinstance(operand, Vectors):
            lengths = np.maximum(lengths, operand.lengths)
        elif operand.ndim:
            lengths = np.maximum(lengths, np.ones(len(operand), np.int64))
    return lengths


def spread(operand: Operand, lengths: Int64, fill: float) -> Array:
    """Values of an operand in slots of `lengths`, repeated or filled up."""
    if not isinstance(operand, Vectors):
        return np.repeat(operand, lengths) if operand.ndim and len(operand) == len(lengths) else operand
    if np.array_equal(operand.lengths, lengths):
        return operand.values
    places = places_in_slot(lengths.astype(np.int32))
    own = np.repeat(operand.lengths, lengths)
    there = np.where(own == 1, 0, places)
    values = operand.values[np.repeat(operand.starts, lengths) + np.minimum(there, own - 1)]
    return np.where(there < own, values, fill)


def as_vectors(operand: Operand, lengths: Int64, fill: float) -> Vectors:
    """An operand as vectors of exactly these lengths."""
    values = spread(operand, lengths, fill)
    return Vectors(np.broadcast_to(values, (int(lengths.sum()),)), lengths)


def reduce_vectors(call: Callable[..., Array], operands: Sequence[Operand], fill: float) -> Operand:
    """Apply a function from vectors to one number per slot."""
    lengths = np.atleast_1d(common_lengths(operands))
    return call(*(as_vectors(operand, lengths, fill) for operand in operands))
