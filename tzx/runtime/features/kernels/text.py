"""Splitting text and reading integers from it, over slices of one byte buffer.

A string is data[start:end]. Kernels count first and fill second, so that every output is allocated once.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.kernels.hashing import load8
from tzx.runtime.features.ragged import UInt8

OK, NOT_A_NUMBER, TOO_LARGE = 0, 1, 2
TRUE, FALSE = (np.frombuffer(word, np.uint8) for word in (b"TRUE", b"FALSE"))
# For reading eight digits as one word, by the usual way: neighbours are joined to pairs, these to four and to eight.
ZEROS, HIGH_HALVES, SIXES = (np.uint64(0x0101010101010101 * byte) for byte in (0x30, 0xF0, 0x06))
PAIRS = np.uint64(0x000000FF000000FF)
HUNDRED_AND_MILLION, ONE_AND_TEN_THOUSAND = np.uint64(100 + (10**6 << 32)), np.uint64(1 + (10**4 << 32))
POWERS_OF_TEN = np.array([10.0**i for i in range(16)])


@njit(nogil=True, cache=True)
def _find(data: UInt8, start: int, end: int, needle: UInt8) -> int:
    """First place of `needle` in data[start:end], or `end`."""
    size = len(needle)
    first = needle[0]
    for at in range(start, end - size + 1):
        if data[at] == first:
            same = True
            for j in range(1, size):
                if data[at + j] != needle[j]:
                    same = False
                    break
            if same:
                return at
    return end


@njit(nogil=True, cache=True)
def _count_tokens(data: UInt8, start: int, end: int, separator: UInt8, drop_empty: bool) -> int:
    count = 0
    at = start
    while True:
        stop = _find(data, at, end, separator)
        if stop > at or not drop_empty:
            count += 1
        if stop >= end:
            return count
        at = stop + len(separator)


@njit(nogil=True, cache=True)
def occurrences(data: UInt8, start: int, end: int, byte: int) -> int:
    """How often `byte` is in data[start:end]. Compiles to vector instructions, unlike a search that stops."""
    count = 0
    for at in range(np.uint64(start), np.uint64(end)):
        count += data[at] == byte
    return count


@njit(nogil=True, cache=True)
def _as_they_are(starts: Int64, ends: Int64) -> tuple[Int64, Int64, Int32]:
    """What splitting gives when no string holds a separator: empty strings have no token, others one."""
    counts = (ends > starts).astype(np.int32)
    total = counts.sum()
    if total == len(starts):
        return starts, ends, counts
    out_starts = np.empty(total, np.int64)
    out_ends = np.empty(total, np.int64)
    n = 0
    for i in range(len(starts)):
        if counts[i] > 0:
            out_starts[n] = starts[i]
            out_ends[n] = ends[i]
            n += 1
    return out_starts, out_ends, counts


@njit(nogil=True, cache=True)
def _split_by_byte(
    data: UInt8, starts: Int64, ends: Int64, byte: int, drop_empty: bool, room: tuple[int, int]
) -> tuple[Int64, Int64, Int32]:
    """`split` in one pass. `room` is the limit, and the most tokens that so many separators can make."""
    limit, most = room
    counts = np.empty(len(starts), np.int32)
    out_starts = np.empty(most, np.int64)
    out_ends = np.empty(most, np.int64)
    limit = limit if limit > 0 else most
    n = 0
    for i in range(len(starts)):
        first, start, end = n, starts[i], ends[i]
        full = n + limit
        for at in range(start, end):
            if data[at] == byte:
                if n == full:
                    break
                if at > start or not drop_empty:
                    out_starts[n] = start
                    out_ends[n] = at
                    n += 1
                start = at + 1
        if n < full and (end > start or (not drop_empty and end > starts[i])):
            out_starts[n] = start
            out_ends[n] = end
            n += 1
        counts[i] = n - first
    return out_starts[:n], out_ends[:n], counts


@njit(nogil=True, cache=True)
def split(
    data: UInt8, starts: Int64, ends: Int64, separator: UInt8, drop_empty: bool, limit: int
) -> tuple[Int64, Int64, Int32]:
    """Split every string; an empty string has no tokens. At most `limit` tokens each (0: all).

    Returns:
        Starts [N] and ends [N] of all tokens, tokens per string [S].
    """
    size = len(starts)
    separators = occurrences(data, starts.min(), ends.max(), separator[0]) if size else 0
    if separators == 0:
        return _as_they_are(starts, ends)
    if len(separator) == 1 and (starts[1:] >= ends[:-1]).all():
        return _split_by_byte(data, starts, ends, separator[0], drop_empty, (limit, size + separators))
    counts = np.zeros(size, np.int32)
    total = 0
    for i in range(size):
        if ends[i] > starts[i]:
            count = _count_tokens(data, starts[i], ends[i], separator, drop_empty)
            if limit > 0 and count > limit:
                count = limit
            counts[i] = count
            total += count
    out_starts = np.empty(total, np.int64)
    out_ends = np.empty(total, np.int64)
    n = 0
    for i in range(size):
        left = counts[i]
        at = starts[i]
        while left > 0:
            stop = _find(data, at, ends[i], separator)
            if stop > at or not drop_empty:
                out_starts[n] = at
                out_ends[n] = stop
                n += 1
                left -= 1
            at = stop + len(separator)
    return out_starts, out_ends, counts


@njit(nogil=True, cache=True)
def find_last(data: UInt8, starts: Int64, ends: Int64, byte: int) -> Int64:
    """Place of the last `byte` of every string, or its end."""
    out = np.empty(len(starts), np.int64)
    for i in range(len(starts)):
        out[i] = ends[i]
        for at in range(ends[i] - 1, starts[i] - 1, -1):
            if data[at] == byte:
                out[i] = at
                break
    return out


@njit(nogil=True, cache=True)
def find_first(data: UInt8, starts: Int64, ends: Int64, byte: int) -> Int64:
    """Place of the first `byte` of every string, or its end."""
    out = np.empty(len(starts), np.int64)
    for i in range(len(starts)):
        at = starts[i]
        while at < ends[i] and data[at] != byte:
            at += 1
        out[i] = at
    return out


@njit(nogil=True, cache=True)
def _is_space(byte: int) -> bool:
    return byte == 32 or (9 <= byte <= 13)


@njit(nogil=True, cache=True)
def _few_digits(data: UInt8, start: int, end: int) -> int:
    """The number that data[start:end] is if it is 1 to 8 digits, all read at once; -1 otherwise."""
    size = end - start
    if size <= 0 or size > 8 or start + 8 > len(data):
        return -1
    # The first digit comes last in the word; what is missing before it becomes zeros.
    word = load8(data, start) << np.uint64(64 - 8 * size)
    if size < 8:
        word |= ZEROS >> np.uint64(8 * size)
    if word & HIGH_HALVES != ZEROS or (word + SIXES) & HIGH_HALVES != ZEROS:
        return -1
    word -= ZEROS
    word = word * np.uint64(10) + (word >> np.uint64(8))
    upper = (word & PAIRS) * HUNDRED_AND_MILLION
    lower = (word >> np.uint64(16) & PAIRS) * ONE_AND_TEN_THOUSAND
    return np.int64((upper + lower) >> np.uint64(32))


@njit(nogil=True, cache=True)
def _parse_any_int(data: UInt8, start: int, end: int) -> tuple[int, int]:
    """Value and status of one integer: spaces around it, a sign, and a fraction of zeros are allowed."""
    while start < end and _is_space(data[start]):
        start += 1
    while start < end and _is_space(data[end - 1]):
        end -= 1
    negative = False
    if start < end and (data[start] == 45 or data[start] == 43):
        negative = data[start] == 45
        start += 1
    if start == end or not 48 <= data[start] <= 57:
        return 0, NOT_A_NUMBER
    while start < end and data[start] == 48:
        start += 1
    magnitude = np.uint64(0)
    at = start
    while at < end and 48 <= data[at] <= 57:
        magnitude = magnitude * np.uint64(10) + np.uint64(data[at] - 48)
        at += 1
    # 19 digits always fit 64 bits without a sign.
    if at - start > 19 or magnitude > np.uint64(9223372036854775807) + np.uint64(negative):
        return 0, TOO_LARGE
    if at < end and data[at] == 46:
        at += 1
        while at < end and data[at] == 48:
            at += 1
    if at < end:
        return 0, NOT_A_NUMBER
    return (-np.int64(magnitude) if negative else np.int64(magnitude)), OK


@njit(nogil=True, cache=True)
def parse_int(data: UInt8, start: int, end: int) -> tuple[int, int]:
    """Value and status of one integer. Most are nothing but digits, and few enough to fit."""
    digits = _few_digits(data, start, end)
    if digits >= 0:
        return digits, OK
    at, digits = start, np.int64(0)
    if 0 < end - start <= 18:
        while at < end and np.uint8(data[at] - 48) <= 9:
            digits = digits * 10 + (data[at] - 48)
            at += 1
        if at == end:
            return digits, OK
    return _parse_any_int(data, start, end)


@njit(nogil=True, cache=True)
def parse_ints(data: UInt8, starts: Int64, ends: Int64) -> tuple[Int64, int, int]:
    """Read every string as int64.

    Returns:
        Values [N], index of the first string that is none (-1: all are), and why.
    """
    out = np.empty(len(starts), np.int64)
    for i in range(len(starts)):
        value, status = parse_int(data, starts[i], ends[i])
        if status != OK:
            return out, i, status
        out[i] = value
    return out, -1, OK


@njit(nogil=True, cache=True)
def parse_plain_float(data: UInt8, start: int, end: int) -> tuple[float, bool]:
    """A number of at most 15 digits without exponent, which one division rounds correctly; whether it is one."""
    whole = _few_digits(data, start, end)
    if whole >= 0:
        return np.float64(whole), True
    negative = start < end and data[start] == 45
    at = start + negative
    first, number = at, np.int64(0)
    while at < end and np.uint8(data[at] - 48) <= 9:
        number = number * 10 + (data[at] - 48)
        at += 1
    digits, decimals = at - first, 0
    if digits > 0 and at + 1 < end and data[at] == 46:
        at += 1
        decimals = end - at
        while at < end and np.uint8(data[at] - 48) <= 9:
            number = number * 10 + (data[at] - 48)
            at += 1
    if at < end or digits == 0 or digits + decimals > 15:
        return 0.0, False
    value = np.float64(number) / POWERS_OF_TEN[decimals]
    return (-value if negative else value), True


@njit(nogil=True, cache=True)
def parse_plain_floats(data: UInt8, starts: Int64, ends: Int64) -> tuple[npt.NDArray[np.float64], Int64]:
    """Read every string that `parse_plain_float` can.

    Returns:
        Values [N], and the indices of strings that are written in another way, or no numbers.
    """
    out = np.empty(len(starts), np.float64)
    others = np.empty(len(starts), np.int64)
    left = 0
    for i in range(len(starts)):
        value, plain = parse_plain_float(data, starts[i], ends[i])
        out[i] = value
        if not plain:
            others[left] = i
            left += 1
    return out, others[:left]


@njit(nogil=True, cache=True)
def _is_word(data: UInt8, start: int, end: int, word: UInt8) -> bool:
    """Whether data[start:end] is `word`, which has capitals only, in capitals, in small letters or capitalized."""
    if end - start != len(word):
        return False
    small = 0
    for j in range(len(word)):
        small |= np.int64((data[start + j] & 32) != 0) << j
        if (data[start + j] & 223) != word[j]:
            return False
    return small in (0, (1 << len(word)) - 1, (1 << len(word)) - 2)


@njit(nogil=True, cache=True)
def read_flags(data: UInt8, starts: Int64, ends: Int64) -> npt.NDArray[np.int8]:
    """1 for true, True, TRUE and 1, 0 for false, False, FALSE and 0, -1 for anything else."""
    out = np.empty(len(starts), np.int8)
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        if end - start == 1 and (data[start] == 48 or data[start] == 49):
            out[i] = data[start] - 48
        elif _is_word(data, start, end, TRUE):
            out[i] = 1
        elif _is_word(data, start, end, FALSE):
            out[i] = 0
        else:
            out[i] = -1
    return out


@njit(nogil=True, cache=True)
def pack(data: UInt8, starts: Int64, ends: Int64) -> tuple[UInt8, Int64]:
    """Copy all strings one after the other.

    Returns:
        Bytes, and offsets [N + 1] into them: the two buffers of an Arrow large_string array.
    """
    offsets = np.zeros(len(starts) + 1, np.int64)
    for i in range(len(starts)):
        offsets[i + 1] = offsets[i] + (ends[i] - starts[i])
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        for j in range(offsets[i + 1] - offsets[i]):
            out[offsets[i] + j] = data[starts[i] + j]
    return out, offsets


@njit(nogil=True, cache=True)
def trim(data: UInt8, starts: Int64, ends: Int64) -> tuple[UInt8, Int64]:
    """Copy all strings, without spaces around them, one after the other; as `pack` does."""
    firsts = np.empty(len(starts), np.int64)
    lasts = np.empty(len(starts), np.int64)
    for i in range(len(starts)):
        start, end = starts[i], ends[i]
        while start < end and _is_space(data[start]):
            start += 1
        while start < end and _is_space(data[end - 1]):
            end -= 1
        firsts[i] = start
        lasts[i] = end
    return pack(data, firsts, lasts)
