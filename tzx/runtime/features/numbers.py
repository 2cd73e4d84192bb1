"""Numbers out of values of any kind."""

import numpy as np
import pyarrow as pa

from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Float32, Int64
from tzx.runtime.features.ragged import Numbers, Ragged, Strings, Values, bad_value

SHOWN_CHARACTERS = 60


def quoted(text: str) -> str:
    """A value as it stands in a message: quoted and not too long."""
    return repr(text) if len(text) <= SHOWN_CHARACTERS else repr(text[:SHOWN_CHARACTERS]) + "..."


def to_ints(ragged: Ragged) -> Int64:
    """All values as int64 [N].

    Raises:
        BadValue: a value is not a whole number, or does not fit 64 bits.
    """
    values = ragged.values
    if isinstance(values, Strings):
        from tzx.runtime.features.kernels import text

        numbers, bad, status = text.parse_ints(values.data, values.starts, values.ends)
        if bad >= 0:
            why = "is not an integer" if status == text.NOT_A_NUMBER else "does not fit a 64-bit integer"
            raise bad_value(ragged, bad, f"{quoted(values.text(bad))} {why}", lambda: _no_integers(values, bad))
        return numbers
    if values.dtype == np.int64:
        return values  # type: ignore[return-value]
    whole = (np.floor(values) == values) & (np.abs(values) < 2.0**63)
    if not whole.all():
        bad = int(np.argmin(whole))
        raise bad_value(ragged, bad, f"{values[bad]} is not an integer", lambda: np.flatnonzero(~whole))
    return values.astype(np.int64)


def _arrow_text(values: Strings) -> pa.Array:
    """The strings as an Arrow array of their own, spaces around them removed."""
    from tzx.runtime.features.kernels import text

    data, offsets = text.trim(values.data, values.starts, values.ends)
    return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(data))


def _first_failure(array: pa.Array) -> int:
    """Index of the first string that is not a number, given that there is one."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array.slice(low, middle - low).cast(pa.float64())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _no_numbers(array: pa.Array) -> Int64:
    """Indices of all strings that are not numbers."""
    bad = []
    parts = [(0, len(array))]
    while parts:
        low, high = parts.pop()
        try:
            array.slice(low, high - low).cast(pa.float64())
        except pa.ArrowInvalid:
            middle = (low + high) // 2
            if high - low == 1:
                bad.append(low)
            else:
                parts += [(low, middle), (middle, high)]
    return np.sort(np.array(bad, np.int64))


def _no_integers(values: Strings, first: int) -> Int64:
    """Indices of all strings that are no integers, of which `first` is the first."""
    from tzx.runtime.features.kernels import text

    bad, at = [], first
    while at >= 0:
        bad.append(at)
        rest = at + 1
        _, found, _ = text.parse_ints(values.data, values.starts[rest:], values.ends[rest:])
        at = rest + found if found >= 0 else -1
    return np.array(bad, np.int64)


def to_floats(ragged: Ragged) -> Numbers:
    """All values as float32 or float64 [N]; integers become float64.

    Raises:
        BadValue: a value is not a number.
    """
    values = ragged.values
    if not isinstance(values, Strings):
        return values.astype(np.float64) if values.dtype == np.int64 else values
    from tzx.runtime.features.kernels import text

    numbers, others = text.parse_plain_floats(values.data, values.starts, values.ends)
    if len(others):
        array = _arrow_text(values[others])
        try:
            numbers[others] = arrow.view(array.cast(pa.float64()), np.float64)
        except pa.ArrowInvalid:
            bad = int(others[_first_failure(array)])
            problem = f"{quoted(values.text(bad))} is not a number"
            raise bad_value(ragged, bad, problem, lambda: others[_no_numbers(array)]) from None
    return numbers


def to_float32(ragged: Ragged) -> Float32:
    """All values as float32 [N], a view where they are that already."""
    values = ragged.values
    with np.errstate(over="ignore"):
        numbers = to_floats(ragged) if isinstance(values, Strings) else values
        return numbers.astype(np.float32, copy=False)


def to_strings(values: Values) -> Strings:
    """Numbers as their shortest decimal text (1.0 is "1"); strings as they are."""
    if isinstance(values, Strings):
        return values
    return arrow.strings_of(arrow.array_of(values).cast(pa.large_string()))
