"""Features as Arrow columns. Values lie in lists and maps, never in separated text, so no value can break another."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tzx.runtime.features.arrays import (
    DenseData,
    FeatureData,
    Float32,
    Int32,
    SequenceDenseData,
    SequenceSparseData,
    SparseData,
)
from tzx.runtime.features.arrow import array_of
from tzx.runtime.features.bucketizers import Boundaries, Bucketizer, Identity
from tzx.runtime.features.numbers import to_float32, to_ints, to_strings
from tzx.runtime.features.ragged import Ragged, Strings


def final_column(data: FeatureData, weights_as_text: bool) -> pa.Array:
    """Ids and numbers as FG_NONE reads them, one item per row."""
    if isinstance(data, DenseData):
        return _vectors(data.values)
    if isinstance(data, SequenceDenseData):
        return _lists(_vectors(data.values), data.seq_lengths)
    if isinstance(data, SequenceSparseData):
        return _lists(_lists(array_of(data.values), data.key_lengths), data.seq_lengths)
    assert isinstance(data, SparseData)
    return _slots(array_of(data.values), data.lengths, data.weights, weights_as_text)


def value_column(ragged: Ragged, bucketizer: Bucketizer | None, weighted: bool, weights_as_text: bool) -> pa.Array:
    """Values before bucketizing as FG_BUCKETIZE reads them, one item per row; a missing value is an empty list.

    Args:
        ragged: values of a feature.
        bucketizer: what will make ids of them; None for a dense feature.
        weighted: whether the config says so, which makes FG_BUCKETIZE look for a weight in any text.
        weights_as_text: write `id:weight` texts and no maps.
    """
    values = _typed(ragged, bucketizer)
    weights, sequence = ragged.weights, ragged.seq_lengths
    if weighted and weights is None and pa.types.is_large_string(values.type):
        weights = np.ones(len(values), np.float32)
    if sequence is None:
        return _slots(values, ragged.lengths, weights if weighted else None, weights_as_text)
    as_pairs = weights if weighted and pa.types.is_large_string(values.type) else None
    return _lists(_slots(values, ragged.lengths, as_pairs, weights_as_text=True), sequence)


def _typed(ragged: Ragged, bucketizer: Bucketizer | None) -> pa.Array:
    """Values in one type whatever the batch held: what the bucketizer would have made of them first."""
    if bucketizer is None or isinstance(bucketizer, Boundaries):
        return array_of(to_float32(ragged))
    if isinstance(bucketizer, Identity):
        return array_of(to_ints(ragged))
    return _texts(to_strings(ragged.values))


def _texts(strings: Strings) -> pa.Array:
    """The strings as they are, valid UTF-8 or not, in a buffer of their own."""
    from tzx.runtime.features.kernels import text

    data, offsets = text.pack(strings.data, strings.starts, strings.ends)
    return pa.LargeStringArray.from_buffers(len(strings), pa.py_buffer(offsets), pa.py_buffer(data))


def _vectors(values: Float32) -> pa.Array:
    """[N, D] numbers: plain where D is 1, otherwise lists."""
    flat = array_of(np.ascontiguousarray(values).reshape(-1))
    return flat if values.shape[1] == 1 else _lists(flat, np.full(len(values), values.shape[1], np.int32))


def _slots(values: pa.Array, lengths: Int32, weights: Float32 | None, weights_as_text: bool) -> pa.Array:
    """One list or map per slot."""
    if weights is None:
        return _lists(values, lengths)
    if not weights_as_text:
        return pa.MapArray.from_arrays(_offsets(lengths), values, array_of(weights))
    # As double precision, the text holds every bit of the weight.
    texts = array_of(weights).cast(pa.float64()).cast(pa.large_string())
    colon = pa.scalar(":", pa.large_string())
    return _lists(pc.binary_join_element_wise(values.cast(pa.large_string()), texts, colon), lengths)


def _lists(items: pa.Array, lengths: Int32) -> pa.Array:
    return pa.ListArray.from_arrays(_offsets(lengths), items)


def _offsets(lengths: Int32) -> pa.Array:
    return pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of the rows of several."""
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
