"""Edit distance between strings, over slices of byte buffers."""

import numpy as np
import numpy.typing as npt
from numba import njit

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import UInt8

# Stands for a byte that is no UTF-8: a character of its own, unlike any other.
INVALID = 0x110000
# Places of a table for the up to 64 characters of the shorter string.
TABLE, FREE = 128, -1
WORD = 64
Texts = tuple[UInt8, Int64, Int64]
Bits = npt.NDArray[np.uint64]


@njit(nogil=True, cache=True)
def _tail_length(data: UInt8, at: int, end: int) -> int:
    """Bytes that follow the first one of a UTF-8 character; -1 when there is no valid character here."""
    lead = data[at]
    if lead < 0x80:
        return 0
    if lead < 0xC2 or lead > 0xF4:
        return -1
    tail = 1 + (lead >= 0xE0) + (lead >= 0xF0)
    if at + tail >= end:
        return -1
    for i in range(1, tail + 1):
        if data[at + i] & 0xC0 != 0x80:
            return -1
    second = data[at + 1]
    too_long = (lead == 0xE0 and second < 0xA0) or (lead == 0xF0 and second < 0x90)
    too_large = (lead == 0xED and second > 0x9F) or (lead == 0xF4 and second > 0x8F)
    return -1 if too_long or too_large else tail


@njit(nogil=True, cache=True)
def _characters(data: UInt8, start: int, end: int, utf8: bool, out: Int64) -> int:
    """Write the characters of a string to `out`, and count them."""
    count = 0
    at = start
    while at < end:
        lead = np.int64(data[at])
        tail = _tail_length(data, at, end) if utf8 and lead >= 0x80 else 0
        if tail < 0:
            out[count] = INVALID + lead
            tail = 0
        elif tail == 0:
            out[count] = lead
        else:
            character = lead & (0x3F >> tail)
            for i in range(1, tail + 1):
                character = (character << 6) | (np.int64(data[at + i]) & 0x3F)
            out[count] = character
        count += 1
        at += 1 + tail
    return count


@njit(nogil=True, cache=True)
def _by_rows(a: Int64, b: Int64, costs: Int64) -> int:
    """Levenshtein's distance, one row of his matrix at a time."""
    for j in range(len(b) + 1):
        costs[j] = j
    for i in range(len(a)):
        diagonal = costs[0]
        costs[0] += 1
        for j in range(len(b)):
            above = costs[j + 1]
            changed = diagonal + (a[i] != b[j])
            costs[j + 1] = min(changed, min(above, costs[j]) + 1)
            diagonal = above
    return costs[len(b)]


@njit(nogil=True, cache=True)
def _place(character: int, keys: Int64) -> int:
    """Where a character is in an open-addressing table that is at most half full, or where it would go."""
    at = character & (TABLE - 1)
    while keys[at] != FREE and keys[at] != character:
        at = (at + 1) & (TABLE - 1)
    return at


@njit(nogil=True, cache=True)
def _by_columns(a: Int64, b: Int64, keys: Int64, masks: Bits) -> int:
    """The same distance, a column of the matrix as the bits of a word (Myers 1999, in Hyyro's form).

    Args:
        a: 1 to 64 characters.
        b: any number of them.
        keys: a table of TABLE free places, free again afterwards.
        masks: TABLE words of working space.
    """
    one = np.uint64(1)
    for i in range(len(a)):
        at = _place(a[i], keys)
        masks[at] = (masks[at] if keys[at] != FREE else np.uint64(0)) | (one << np.uint64(i))
        keys[at] = a[i]
    top = one << np.uint64(len(a) - 1)
    up, down, score = ~np.uint64(0), np.uint64(0), len(a)
    for character in b:
        at = _place(character, keys)
        equal = masks[at] if keys[at] != FREE else np.uint64(0)
        vertical = equal | down
        horizontal = (((equal & up) + up) ^ up) | equal
        right = down | ~(horizontal | up)
        left = up & horizontal
        # Without branches, which nobody could predict.
        score += np.int64((right & top) != 0) - np.int64((left & top) != 0)
        right = (right << one) | one
        up = (left << one) | ~(vertical | right)
        down = right & vertical
    keys[:] = FREE
    return score


@njit(nogil=True, cache=True)
def _without_equal_ends(a: Int64, b: Int64) -> tuple[Int64, Int64]:
    first = 0
    while first < len(a) and first < len(b) and a[first] == b[first]:
        first += 1
    last_a, last_b = len(a), len(b)
    while last_a > first and last_b > first and a[last_a - 1] == b[last_b - 1]:
        last_a -= 1
        last_b -= 1
    return a[first:last_a], b[first:last_b]


@njit(nogil=True, cache=True)
def edit_distances(left: Texts, right: Texts, utf8: bool, limit: int) -> tuple[Int64, int]:
    """Fewest characters to insert, delete or change, string by string.

    Args:
        left: bytes, starts and ends of S strings.
        right: the same for the strings they are compared with.
        utf8: characters are those of UTF-8; otherwise bytes.
        limit: characters of the longest string that is compared.

    Returns:
        Distances [S], and the first place with a string over the limit (-1: none).
    """
    size = len(left[1])
    out = np.zeros(size, np.int64)
    longest = 0
    for i in range(size):
        longest = max(longest, left[2][i] - left[1][i], right[2][i] - right[1][i])
    # A character has up to four bytes.
    longest = min(longest, 4 * limit)
    a, b, costs = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest + 1, np.int64)
    keys, masks = np.full(TABLE, FREE, np.int64), np.empty(TABLE, np.uint64)
    for i in range(size):
        if left[2][i] - left[1][i] > longest or right[2][i] - right[1][i] > longest:
            return out, i
        count_a = _characters(left[0], left[1][i], left[2][i], utf8, a)
        count_b = _characters(right[0], right[1][i], right[2][i], utf8, b)
        if count_a > limit or count_b > limit:
            return out, i
        short, long = _without_equal_ends(a[:count_a], b[:count_b])
        if len(short) > len(long):
            short, long = long, short
        if len(short) == 0:
            out[i] = len(long)
        elif len(short) <= WORD:
            out[i] = _by_columns(short, long, keys, masks)
        else:
            out[i] = _by_rows(short, long, costs)
    return out, -1
