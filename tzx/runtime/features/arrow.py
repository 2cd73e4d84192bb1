"""Arrow arrays as NumPy views: what a column holds, whatever offset, nulls and layout it comes with.

Values are returned without nulls; a mask says where the nulls were. Nothing is copied that can be viewed. Buffers are
viewed by hand, because pyarrow's own conversions import pandas where that is installed.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tzx.runtime.features.arrays import Int32
from tzx.runtime.features.ragged import NO_BYTES, Bool, Numbers, Strings, UInt8, Values

_TEXT = frozenset(kind.id for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()))
_WIDE = frozenset((pa.large_string().id, pa.large_binary().id))
# Types that lie in memory in one way only; looked up in a set, as asking pyarrow takes longer than reading the column.
_PLAIN = _TEXT | {
    kind.id
    for kind in (
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64(), pa.list_(pa.int8()), pa.large_list(pa.int8())),
    )
}
# Numbers that are taken as they are.
_DIRECT: dict[int, npt.DTypeLike] = {
    pa.int64().id: np.int64,
    pa.float32().id: np.float32,
    pa.float64().id: np.float64,
}
INT64_MAX = np.iinfo(np.int64).max


class WrongType(Exception):
    """A column of a type that cannot be read as asked; the message names the type."""


def plain(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array without chunks, dictionary, run ends, extension or string view."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if array.type.id in _PLAIN:
        return array
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pt.is_dictionary(kind):
        return plain(array.dictionary_decode())
    if pt.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(array))
    if pt.is_string_view(kind):
        return array.cast(pa.large_string())
    if pt.is_binary_view(kind):
        return array.cast(pa.large_binary())
    return array


def is_text(kind: pa.DataType) -> bool:
    """Whether values are byte strings."""
    return kind.id in _TEXT


def is_wide(kind: pa.DataType) -> bool:
    """Whether offsets of byte strings have 64 bits."""
    return kind.id in _WIDE


def is_direct(kind: pa.DataType) -> bool:
    """Whether values are numbers that are taken as they are."""
    return kind.id in _DIRECT


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists."""
    return pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind) or is_list_view(kind)


def is_list_view(kind: pa.DataType) -> bool:
    """Whether values are lists that may lie in any order."""
    return pt.is_list_view(kind) or pt.is_large_list_view(kind)


def valid_mask(array: pa.Array) -> Bool | None:
    """Which values are not null, or None when all are there."""
    if not array.null_count:
        return None
    bitmap = array.buffers()[0]
    if bitmap is None:
        return ~bits(array.is_null())
    return _unpack(bitmap, array.offset, len(array))


def _unpack(bitmap: pa.Buffer, offset: int, size: int) -> Bool:
    first = offset // 8
    last = (offset + size + 7) // 8
    unpacked = np.unpackbits(np.frombuffer(bitmap, np.uint8)[first:last], bitorder="little")
    return unpacked[offset - first * 8 :][:size].view(np.bool_)


def bits(array: pa.Array) -> Bool:
    """Values of a boolean array without nulls."""
    return _unpack(array.buffers()[1], array.offset, len(array)) if len(array) else np.zeros(0, np.bool_)


def view(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Values of an array of numbers of this width, its nulls included."""
    if not len(array):
        return np.zeros(0, dtype)
    width = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * width)


def array_of(numbers: Numbers) -> pa.Array:
    """The numbers as an Arrow array over the same memory."""
    kind = {np.dtype(np.int64): pa.int64(), np.dtype(np.float32): pa.float32()}.get(numbers.dtype, pa.float64())
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def size_of(array: pa.Array) -> int:
    """About as many bytes as the values take; of numbers and text in a fraction of the time that pyarrow needs."""
    if array.type.id in _DIRECT:
        return 8 * len(array)
    if not is_text(array.type) or not len(array):
        return array.nbytes
    offsets = _offsets(array, is_wide(array.type))
    return int(offsets[-1] - offsets[0]) + offsets.nbytes


def mask_of_bytes(data: bytes) -> UInt8:
    """A byte string as the kernels take it."""
    return np.frombuffer(data, np.uint8)


def strings_of(array: pa.Array) -> Strings:
    """Views of all strings of a text array; nulls become empty strings."""
    if not len(array):
        empty = np.zeros(0, np.int64)
        return Strings(NO_BYTES, empty, empty)
    data_buffer = array.buffers()[2]
    # A copy in any case: the kernels are compiled for one layout.
    bounds = _offsets(array, is_wide(array.type)).astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None and data_buffer.size else NO_BYTES
    # One layout means one compiled version of every kernel, whoever made the buffer.
    data.flags.writeable = False
    starts, ends = bounds[:-1], bounds[1:]
    valid = valid_mask(array)
    if valid is not None:
        ends = np.where(valid, ends, starts)
    return Strings(data, starts, ends)


def _offsets(array: pa.Array, wide: bool) -> npt.NDArray[Any]:
    """Where each string, list or map begins and the last one ends, [size + 1]."""
    offsets = np.frombuffer(array.buffers()[1], np.int64 if wide else np.int32)
    return offsets[array.offset : array.offset + len(array) + 1]


def _numbers_of(array: pa.Array) -> Values:
    kind = array.type
    if array.null_count:
        array = array.drop_null()
    if kind.id in _DIRECT:
        numbers: Numbers = view(array, _DIRECT[kind.id])
        return numbers
    if pt.is_boolean(kind):
        return bits(array).astype(np.int64)
    if pt.is_floating(kind):
        numbers = view(array, f"f{kind.bit_width // 8}")
        return numbers.astype(np.float32) if pt.is_float16(kind) else numbers
    numbers = view(array, f"{'i' if pt.is_signed_integer(kind) else 'u'}{kind.bit_width // 8}")
    if pt.is_uint64(kind) and len(numbers) and numbers.max() > INT64_MAX:
        return strings_of(array.cast(pa.string()))
    return numbers.astype(np.int64, copy=False)


def scalars_of(array: pa.Array) -> tuple[Values, Bool | None]:
    """Values of an array of numbers or text, without nulls, and where they were (None: nowhere).

    Raises:
        WrongType: the values are neither numbers nor text.
    """
    array = plain(array)
    kind = array.type
    valid = valid_mask(array)
    if kind.id in _DIRECT:
        return _numbers_of(array), valid
    if pt.is_null(kind):
        return np.zeros(0, np.int64), np.zeros(len(array), bool)
    if is_text(kind):
        strings = strings_of(array)
        return (strings if valid is None else strings[valid]), valid
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind):
        return _numbers_of(array), valid
    if pt.is_temporal(kind) or pt.is_decimal(kind):
        return scalars_of(array.cast(pa.string()))
    raise WrongType(str(kind))


def list_parts(array: pa.Array) -> tuple[pa.Array, Int32]:
    """Items of all lists one after the other, and items per list; null lists have none."""
    if is_list_view(array.type):
        return array.flatten(), _value_lengths(array)
    valid = valid_mask(array)
    if pt.is_fixed_size_list(array.type):
        lengths = np.full(len(array), array.type.list_size, np.int32)
        return array.flatten(), (lengths if valid is None else lengths * valid).astype(np.int32)
    if not len(array):
        return array.values[:0], np.zeros(0, np.int32)
    offsets = _offsets(array, pt.is_large_list(array.type))
    lengths = np.diff(offsets).astype(np.int32)
    if valid is not None and lengths[~valid].any():
        return array.flatten(), (lengths * valid).astype(np.int32)
    return array.values.slice(offsets[0], offsets[-1] - offsets[0]), lengths


def _value_lengths(array: pa.Array) -> Int32:
    lengths = pc.list_value_length(array).fill_null(0).cast(pa.int32())
    return view(lengths, np.int32)


def map_parts(array: pa.MapArray) -> tuple[pa.Array, pa.Array, Int32]:
    """Keys and values of all maps one after the other, and entries per map; null maps have none."""
    if not len(array):
        return array.keys[:0], array.items[:0], np.zeros(0, np.int32)
    valid = valid_mask(array)
    offsets = _offsets(array, wide=False)
    lengths = np.diff(offsets).astype(np.int32)
    first, total = offsets[0], offsets[-1] - offsets[0]
    keys, items = array.keys.slice(first, total), array.items.slice(first, total)
    if valid is not None and lengths[~valid].any():
        keep = array_of(np.flatnonzero(np.repeat(valid, lengths)))
        keys, items = keys.take(keep), items.take(keep)
        lengths = (lengths * valid).astype(np.int32)
    return keys, items, lengths
