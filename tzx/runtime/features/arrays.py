"""What a feature yields for a batch of B rows: NumPy arrays, one class per kind.

Legend: B rows, M sequence elements over all rows, N ids over all rows.
"""

from dataclasses import dataclass

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
