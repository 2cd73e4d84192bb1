"""Lays what features yield into one block of memory.

One block per batch makes every later move cheap: to pinned memory, to a GPU, or from a worker process, which writes
the block into shared memory and sends only the table of contents. Free of torch for the workers' sake.

Legend: B rows, F features of a section, N ids, M sequence elements, T longest sequence of the batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tzx.runtime.data.layout import BatchLayout
from tzx.runtime.data.neighbours import joined
from tzx.runtime.features.arrays import (
    DenseData,
    FeatureData,
    SequenceDenseData,
    SequenceSparseData,
    SparseData,
)

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Allocate = Callable[[int], Bytes]  # a zero-copy target for that many bytes

_ALIGNMENT = 64
_SHORT = 1 << 20  # bytes that are copied in some 50 us


@dataclass(frozen=True)
class Section:
    """Where one tensor lies in the block."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class SequenceSpan:
    """Where one sequence feature lies in the shared sequence sections."""

    row: int  # its place among the rows of `seq_lengths`
    ids: tuple[int, int]
    elements: tuple[int, int]
    longest: int


@dataclass
class Contents:
    """Table of contents of a block; small and cheap to pickle."""

    size: int
    sections: dict[str, Section] = field(default_factory=dict)
    sequences: dict[str, SequenceSpan] = field(default_factory=dict)
    bad_values: dict[str, int] = field(default_factory=dict)  # taken as missing, by feature


Parts = dict[str, tuple[str, list[Array]]]  # section -> dtype and the arrays to lay end to end


def flatten(
    arrays: Mapping[str, FeatureData],
    layout: BatchLayout,
    size: int,
    columns: Mapping[str, Sequence[Array]],
    allocate: Allocate,
) -> tuple[Contents, Bytes]:
    """Lay `arrays` and further `columns` (labels, weights: section name -> arrays) into one block."""
    contents = Contents(size)
    parts: Parts = {}
    _add_sparse(parts, "ids", [arrays[k] for k in layout.ids], weighted=False)
    _add_sparse(parts, "weighted_ids", [arrays[k] for k in layout.weighted_ids], weighted=True)
    _add_sequences(parts, contents, arrays, layout)
    for name, column in columns.items():
        parts[name] = (column[0].dtype.str, list(column))
    dense = [_as(arrays[name], DenseData, name).values for name in layout.dense]
    end = _plan(contents, parts, (size, sum(layout.dense_dims)))
    block = allocate(end)
    _fill(contents, parts, dense, block)
    return contents, block


def view(contents: Contents, block: Bytes, name: str) -> Array:
    """The section as an array on the block."""
    section = contents.sections[name]
    flat = block[section.offset : section.offset + section.nbytes]
    return flat.view(section.dtype).reshape(section.shape)


def _add_sparse(parts: Parts, name: str, features: Sequence[FeatureData], weighted: bool) -> None:
    sparse = [_as(f, SparseData, name) for f in features]
    parts[f"{name}.values"] = ("<i8", [f.values for f in sparse])
    parts[f"{name}.lengths"] = ("<i4", [f.lengths for f in sparse])
    if weighted:
        parts[f"{name}.weights"] = ("<f4", [_weights_of(f) for f in sparse])


def _weights_of(feature: SparseData) -> Array:
    return np.ones(len(feature.values), np.float32) if feature.weights is None else feature.weights


def _add_sequences(parts: Parts, contents: Contents, arrays: Mapping[str, FeatureData], layout: BatchLayout) -> None:
    values, key_lengths, seq_lengths, row_lengths = [], [], [], []
    id_end = element_end = 0
    for row, name in enumerate((*layout.sequence_ids, *layout.sequence_dense)):
        feature = arrays[name]
        id_start, element_start = id_end, element_end
        if isinstance(feature, SequenceSparseData):
            id_end, element_end = id_end + len(feature.values), element_end + len(feature.key_lengths)
            values.append(feature.values)
            key_lengths.append(feature.key_lengths)
            row_lengths.append(_ids_per_row(feature))
        else:
            feature = _as(feature, SequenceDenseData, name)
            parts[f"sequence/{name}"] = ("<f4", [feature.values])
        seq_lengths.append(feature.seq_lengths)
        longest = int(feature.seq_lengths.max(initial=0))
        contents.sequences[name] = SequenceSpan(row, (id_start, id_end), (element_start, element_end), longest)
    parts["sequence_ids.values"] = ("<i8", values)
    parts["sequence_ids.lengths"] = ("<i4", row_lengths)
    parts["key_lengths"] = ("<i4", key_lengths)
    parts["seq_lengths"] = ("<i4", seq_lengths)
    longest = max((s.longest for s in contents.sequences.values()), default=0)
    parts["positions"] = ("<i8", [np.arange(longest)])


def _ids_per_row(feature: SequenceSparseData) -> Array:
    # As many ids as elements, none of which is empty: they have one each.
    if len(feature.values) == len(feature.key_lengths) == np.count_nonzero(feature.key_lengths):
        return feature.seq_lengths
    total = np.zeros(len(feature.key_lengths) + 1, np.int64)
    np.cumsum(feature.key_lengths, out=total[1:])
    ends = np.cumsum(feature.seq_lengths, dtype=np.int64)
    return (total[ends] - total[ends - feature.seq_lengths]).astype(np.int32)


def _plan(contents: Contents, parts: Parts, dense_shape: tuple[int, int]) -> int:
    """Give every section its place; returns the end of the last."""
    shapes = {"dense": ("<f4", dense_shape)}
    for name, (dtype, arrays) in parts.items():
        tail = arrays[0].shape[1:] if arrays else ()
        shapes[name] = (dtype, (sum(len(a) for a in arrays), *tail))
    end = 0
    for name, (dtype, shape) in shapes.items():
        contents.sections[name] = section = Section(dtype, shape, end)
        end += -(-section.nbytes // _ALIGNMENT) * _ALIGNMENT
    return end


def _fill(contents: Contents, parts: Parts, dense: Sequence[Array], block: Bytes) -> None:
    for name, (_, arrays) in parts.items():
        if arrays:
            _lay_end_to_end(joined(arrays), view(contents, block, name))
    if contents.size:
        _fill_columns(joined(dense), view(contents, block, "dense"))


def _lay_end_to_end(arrays: Sequence[Array], out: Array) -> None:
    """Copy `arrays` into `out`, a short one without letting another thread take the interpreter, as NumPy would."""
    if out.nbytes > _SHORT or any(a.dtype != out.dtype or not a.flags.c_contiguous for a in arrays):
        np.concatenate(arrays, out=out, casting="same_kind")
        return
    target, at = out.data.cast("B") if out.size else out.data, 0
    for array in arrays:
        if array.size:
            target[at : at + array.nbytes] = array.data.cast("B")
            at += array.nbytes


def _fill_columns(dense: Sequence[Array], out: Array) -> None:
    """Lay features [B, D], or several of one width end to end, side by side into `out` [B, sum of D]."""
    size, at = len(out), 0
    for array in dense:
        count, width = len(array) // size, array.shape[1]
        target = out[:, at : at + count * width].reshape(size, count, width)
        np.copyto(target, array.reshape(count, size, width).swapaxes(0, 1), casting="same_kind")
        at += count * width


def _as(value: FeatureData, kind: type[Any], name: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    return value
