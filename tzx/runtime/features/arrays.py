"""What a feature yields for a batch of B rows: NumPy arrays, one class per kind.

Legend: B rows, M sequence elements over all rows, N ids over all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SparseData:
    """Ids of a sparse feature: `values` [N], `lengths` [B] summing to N, optional `weights` [N]."""

    values: Int64
    lengths: Int32
    weights: Float32 | None = None


@dataclass(frozen=True)
class DenseData:
    """Numbers of a dense feature: `values` [B, value_dim]."""

    values: Float32


@dataclass(frozen=True)
class SequenceSparseData:
    """Ids of a sparse sequence: `values` [N], `key_lengths` [M] ids per element, `seq_lengths` [B] elements per row."""

    values: Int64
    key_lengths: Int32
    seq_lengths: Int32


@dataclass(frozen=True)
class SequenceDenseData:
    """Numbers of a dense sequence: `values` [M, value_dim], `seq_lengths` [B] elements per row."""

    values: Float32
    seq_lengths: Int32


FeatureData = SparseData | DenseData | SequenceSparseData | SequenceDenseData


def cut(data: FeatureData, bounds: Sequence[int]) -> list[FeatureData]:
    """The same data in pieces, uncopied: rows [bounds[0], bounds[1]), [bounds[1], bounds[2]) ..."""
    rows = list(pairwise(bounds))
    if isinstance(data, DenseData):
        return [DenseData(data.values[first:stop]) for first, stop in rows]
    if isinstance(data, SparseData):
        spans = zip(rows, pairwise(sums_before(data.lengths, bounds)), strict=True)
        weights = data.weights
        return [
            SparseData(data.values[i:j], data.lengths[first:stop], None if weights is None else weights[i:j])
            for (first, stop), (i, j) in spans
        ]
    elements = sums_before(data.seq_lengths, bounds)
    spans = zip(rows, pairwise(elements), strict=True)
    if isinstance(data, SequenceDenseData):
        return [SequenceDenseData(data.values[m:n], data.seq_lengths[first:stop]) for (first, stop), (m, n) in spans]
    ids = pairwise(sums_before(data.key_lengths, elements))
    return [
        SequenceSparseData(data.values[i:j], data.key_lengths[m:n], data.seq_lengths[first:stop])
        for ((first, stop), (m, n)), (i, j) in zip(spans, ids, strict=True)
    ]


def sums_before(lengths: Int32, bounds: Sequence[int]) -> list[int]:
    """For each of `bounds`, the sum of the lengths before it."""
    totals = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=totals[1:])
    found: list[int] = totals[bounds].tolist()
    return found
