"""Finding the words of one slot among those of another: map look-up, overlap of texts, and cross products.

Words come with hashes made beforehand, so that nothing here calls into another file: Numba's cache would not notice
when that file changes.
"""

import numpy as np
from numba import njit

from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.ragged import UInt8

SCAN_AT_MOST = 16
FEW_KEYS = 4


@njit(nogil=True, cache=True)
def _same(a: UInt8, a_start: int, a_end: int, b: UInt8, b_start: int, b_end: int) -> bool:
    if a_end - a_start != b_end - b_start:
        return False
    same = True
    for j in range(a_end - a_start):
        same &= a[a_start + j] == b[b_start + j]
    return same


@njit(nogil=True, cache=True)
def _table_size(words: int) -> int:
    size = 8
    while size < 2 * words:
        size *= 2
    return size


@njit(nogil=True, cache=True)
def _place(table: Int64, size: int, words: tuple[UInt8, Int64, Int64, Int64], word: int) -> int:
    """Where an equal word stands in an open-addressing table, or the free place where it would go."""
    data, starts, ends, hashes = words
    at = hashes[word] & (size - 1)
    while table[at] >= 0:
        other = table[at]
        if hashes[other] == hashes[word] and _same(data, starts[other], ends[other], data, starts[word], ends[word]):
            break
        at = (at + 1) & (size - 1)
    return at


@njit(nogil=True, cache=True)
def _fill_table(table: Int64, words: tuple[UInt8, Int64, Int64, Int64], first: int, last: int) -> int:
    """Table of words first..last-1, of equal ones the last; returns how much of `table` it takes."""
    size = _table_size(last - first)
    for at in range(size):
        table[at] = -1
    for word in range(first, last):
        table[_place(table, size, words, word)] = word
    return size


@njit(nogil=True, cache=True)
def find_in_slots(
    words: tuple[UInt8, Int64, Int64, Int64],
    word_lengths: Int32,
    keys: tuple[UInt8, Int64, Int64, Int64],
    key_lengths: Int32,
    word_slots: Int64,
) -> Int64:
    """Look every key up among the words of the word slot that its own slot belongs to.

    Args:
        words: bytes, starts, ends and hashes of all words.
        word_lengths: words per word slot.
        keys: the same of all keys.
        key_lengths: keys per key slot.
        word_slots: word slot of every key slot, not falling.

    Returns:
        Number of the last equal word for every key, -1 where there is none.
    """
    data, starts, ends, hashes = words
    key_data, key_starts, key_ends, key_hashes = keys
    out = np.full(len(key_starts), -1, np.int64)
    most = 0
    for i in range(len(word_lengths)):
        most = max(most, word_lengths[i])
    table = np.empty(_table_size(most) if most > SCAN_AT_MOST else 1, np.int64)
    word_first, word_slot, key, slot = 0, 0, 0, 0
    while slot < len(key_lengths):
        while word_slot < word_slots[slot]:
            word_first += word_lengths[word_slot]
            word_slot += 1
        key_last = key
        while slot < len(key_lengths) and word_slots[slot] == word_slot:
            key_last += key_lengths[slot]
            slot += 1
        count = word_lengths[word_slot]
        word_last = word_first + count
        tabled = count > SCAN_AT_MOST and key_last - key > FEW_KEYS
        size = _fill_table(table, words, word_first, word_last) if tabled else 0
        while key < key_last:
            h, start, end = key_hashes[key], key_starts[key], key_ends[key]
            if tabled:
                at = h & (size - 1)
                while table[at] >= 0:
                    word = table[at]
                    if hashes[word] == h and _same(data, starts[word], ends[word], key_data, start, end):
                        out[key] = word
                        break
                    at = (at + 1) & (size - 1)
            else:
                for word in range(word_last - 1, word_first - 1, -1):
                    if hashes[word] == h and _same(data, starts[word], ends[word], key_data, start, end):
                        out[key] = word
                        break
            key += 1
    return out


@njit(nogil=True, cache=True)
def number_words(words: tuple[UInt8, Int64, Int64, Int64], lengths: Int32) -> Int64:
    """Number of the first equal word of the same slot, for every word: equal numbers are equal words."""
    out = np.empty(len(words[1]), np.int64)
    most = 0
    for i in range(len(lengths)):
        most = max(most, lengths[i])
    table = np.empty(_table_size(most) if most > SCAN_AT_MOST else 1, np.int64)
    data, starts, ends, hashes = words
    first = 0
    for i in range(len(lengths)):
        last = first + lengths[i]
        if lengths[i] <= SCAN_AT_MOST:
            for word in range(first, last):
                other = first
                while hashes[other] != hashes[word] or not _same(
                    data, starts[other], ends[other], data, starts[word], ends[word]
                ):
                    other += 1
                out[word] = other
        else:
            size = _table_size(lengths[i])
            for at in range(size):
                table[at] = -1
            for word in range(first, last):
                at = _place(table, size, words, word)
                if table[at] < 0:
                    table[at] = word
                out[word] = table[at]
        first = last
    return out


@njit(nogil=True, cache=True)
def count_distinct(numbers: Int64, lengths: Int32) -> Int64:
    """Distinct words per slot, given `number_words` of them."""
    out = np.zeros(len(lengths), np.int64)
    word = 0
    for i in range(len(lengths)):
        for _ in range(lengths[i]):
            out[i] += numbers[word] == word
            word += 1
    return out


@njit(nogil=True, cache=True)
def count_common(found: Int64, numbers: Int64, lengths: Int32) -> Int64:
    """Distinct words per slot that were found elsewhere: `found` is not negative.

    Args:
        found: number of the equal title word for every query word, -1 for none.
        numbers: `number_words` of the queries.
        lengths: words per query.
    """
    out = np.zeros(len(lengths), np.int64)
    word = 0
    for i in range(len(lengths)):
        for _ in range(lengths[i]):
            out[i] += (numbers[word] == word) & (found[word] >= 0)
            word += 1
    return out


@njit(nogil=True, cache=True)
def first_run(found: Int64, title_numbers: Int64, lengths: Int32, title_lengths: Int32) -> Int64:
    """Place of the first run of title words that equals the whole query, per slot; -1 for none.

    Knuth, Morris and Pratt's search, over words numbered as in the title.

    Args:
        found: number of an equal title word for every query word, -1 for none.
        title_numbers: `number_words` of the titles.
        lengths: words per query.
        title_lengths: words per title.
    """
    out = np.full(len(lengths), -1, np.int64)
    most = 0
    for i in range(len(lengths)):
        most = max(most, lengths[i])
    wanted, fallback = np.empty(most, np.int64), np.empty(most + 1, np.int64)
    word, title_word = 0, 0
    for i in range(len(lengths)):
        size = lengths[i]
        known = size > 0
        for j in range(size):
            known &= found[word + j] >= 0
            wanted[j] = title_numbers[found[word + j]] if found[word + j] >= 0 else -1
        if known and size <= title_lengths[i]:
            fallback[0] = -1
            at = -1
            for j in range(size):
                while at >= 0 and wanted[at] != wanted[j]:
                    at = fallback[at]
                at += 1
                fallback[j + 1] = at
            at = 0
            for j in range(title_lengths[i]):
                while at >= 0 and wanted[at] != title_numbers[title_word + j]:
                    at = fallback[at]
                at += 1
                if at == size:
                    out[i] = j + 1 - size
                    break
        word += size
        title_word += title_lengths[i]
    return out


@njit(nogil=True, cache=True)
def cross(
    left: tuple[UInt8, Int64, Int64],
    left_lengths: Int32,
    right: tuple[UInt8, Int64, Int64],
    right_lengths: Int32,
    joint: int,
) -> tuple[UInt8, Int64]:
    """Every word of a left slot joined by the byte `joint` to every word of the right slot, left one slowest.

    Returns:
        Bytes of all joined words, and their offsets [N + 1].
    """
    left_data, left_starts, left_ends = left
    right_data, right_starts, right_ends = right
    words, size = 0, 0
    a, b = 0, 0
    for i in range(len(left_lengths)):
        m, n = left_lengths[i], right_lengths[i]
        words += m * n
        for j in range(m):
            size += n * (left_ends[a + j] - left_starts[a + j] + 1)
        for j in range(n):
            size += m * (right_ends[b + j] - right_starts[b + j])
        a += m
        b += n
    out = np.empty(size, np.uint8)
    offsets = np.zeros(words + 1, np.int64)
    a, b, word, at = 0, 0, 0, 0
    for i in range(len(left_lengths)):
        m, n = left_lengths[i], right_lengths[i]
        for j in range(a, a + m):
            for k in range(b, b + n):
                for c in range(left_starts[j], left_ends[j]):
                    out[at] = left_data[c]
                    at += 1
                out[at] = joint
                at += 1
                for c in range(right_starts[k], right_ends[k]):
                    out[at] = right_data[c]
                    at += 1
                word += 1
                offsets[word] = at
        a += m
        b += n
    return out, offsets
