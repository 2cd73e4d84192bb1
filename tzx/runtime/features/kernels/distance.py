"""Edit distance between strings, over slices of byte buffers."""

import numpy as np
from numba import njit

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import UInt8

# Stands for a byte that is no UTF-8: a character of its own, unlike any other.
INVALID = 0x110000
Texts = tuple[UInt8, Int64, Int64]


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
        tail = _tail_length(data, at, end) if utf8 else 0
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
def _distance(a: Int64, b: Int64, costs: Int64) -> int:
    """Levenshtein's distance, one row of his matrix at a time; equal ends cost nothing and are left out."""
    first = 0
    while first < len(a) and first < len(b) and a[first] == b[first]:
        first += 1
    last_a, last_b = len(a), len(b)
    while last_a > first and last_b > first and a[last_a - 1] == b[last_b - 1]:
        last_a -= 1
        last_b -= 1
    width = last_b - first
    for j in range(width + 1):
        costs[j] = j
    for i in range(first, last_a):
        diagonal = costs[0]
        costs[0] += 1
        for j in range(width):
            above = costs[j + 1]
            changed = diagonal + (a[i] != b[first + j])
            costs[j + 1] = min(changed, min(above, costs[j]) + 1)
            diagonal = above
    return costs[width]


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
    for i in range(size):
        if left[2][i] - left[1][i] > longest or right[2][i] - right[1][i] > longest:
            return out, i
        count_a = _characters(left[0], left[1][i], left[2][i], utf8, a)
        count_b = _characters(right[0], right[1][i], right[2][i], utf8, b)
        if count_a > limit or count_b > limit:
            return out, i
        out[i] = _distance(a[:count_a], b[:count_b], costs)
    return out, -1
