"""Values of slots as Arrow arrays, for what works on those."""

import numpy as np
import pyarrow as pa

from tzx.runtime.features import arrow
from tzx.runtime.features.numbers import quoted
from tzx.runtime.features.ragged import Ragged, Strings, bad_value


def arrow_texts(strings: Strings, ragged: Ragged) -> pa.Array:
    """The strings as an Arrow text array.

    Args:
        strings: values of `ragged`.
        ragged: where a string that is no UTF-8 stands, for the error.

    Raises:
        BadValue: a string is no UTF-8.
    """
    from tzx.runtime.features.kernels import text

    data, offsets = text.pack(strings.data, strings.starts, strings.ends)
    array = pa.LargeStringArray.from_buffers(len(strings), pa.py_buffer(offsets), pa.py_buffer(data))
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        every = np.array([at for at in range(len(strings)) if not _is_utf8(strings, at)], np.int64)
        bad = int(every[0])
        raise bad_value(ragged, bad, f"{quoted(strings.text(bad))} is not UTF-8", lambda: every) from None
    return array


def _is_utf8(strings: Strings, at: int) -> bool:
    try:
        strings.data[strings.starts[at] : strings.ends[at]].tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def one_per_slot(ragged: Ragged) -> pa.Array:
    """An array with the only value of every slot, null where it is missing."""
    there = ragged.lengths > 0
    array = _flat(ragged)
    if there.all():
        return array
    index = np.where(there, np.cumsum(there) - 1, 0)
    return array.take(pa.array(index, mask=~there))


def list_per_slot(ragged: Ragged) -> pa.Array:
    """An array with the list of values of every slot, null where there are none."""
    offsets = np.zeros(len(ragged.lengths) + 1, np.int64)
    np.cumsum(ragged.lengths, out=offsets[1:])
    missing = pa.array(ragged.lengths == 0)
    return pa.LargeListArray.from_arrays(pa.array(offsets), _flat(ragged), mask=missing)


def _flat(ragged: Ragged) -> pa.Array:
    values = ragged.values
    return arrow_texts(values, ragged) if isinstance(values, Strings) else arrow.array_of(values)
