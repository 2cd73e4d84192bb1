"""String hashes and hash-table look-up, over slices of one byte buffer.

MurmurHash64A (A. Appleby) with the seed of libstdc++, and FarmHash Fingerprint64 (G. Pike), which TensorFlow uses.
Integers are hashed as their decimal text. All arithmetic wraps at 64 bits, hence the typed constants.
"""

import numpy as np
from numba import njit

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import UInt8

MURMUR_MUL = np.uint64(0xC6A4A7935BD1E995)
MURMUR_SEED = np.uint64(0xC70F6907)
FARM_K0 = np.uint64(0xC3A5C85C97CB3127)
FARM_K1 = np.uint64(0xB492B66FBE98F273)
FARM_K2 = np.uint64(0x9AE16A3B2F90404F)
MAX_DIGITS = 20


@njit(nogil=True, cache=True)
def load8(data: UInt8, at: int) -> int:
    """Eight bytes; unsigned places spare the check for counting from the end, so that one load remains."""
    value = np.uint64(0)
    for j in range(8):
        value |= np.uint64(data[np.uint64(at) + np.uint64(j)]) << np.uint64(8 * j)
    return value


@njit(nogil=True, cache=True)
def _load(data: UInt8, at: int, size: int) -> int:
    """`size` bytes, at most 7, as a little-endian number."""
    if at + 8 <= len(data):
        return load8(data, at) & ((np.uint64(1) << np.uint64(8 * size)) - np.uint64(1))
    value = np.uint64(0)
    for j in range(size):
        value |= np.uint64(data[np.uint64(at) + np.uint64(j)]) << np.uint64(8 * j)
    return value


@njit(nogil=True, cache=True)
def _rotate(value: int, by: int) -> int:
    """Rotate right."""
    return (value >> np.uint64(by)) | (value << np.uint64(64 - by))


@njit(nogil=True, cache=True)
def _fold(value: int, by: int) -> int:
    return value ^ (value >> np.uint64(by))


@njit(nogil=True, cache=True)
def murmur64(data: UInt8, start: int, end: int) -> int:
    """MurmurHash64A of data[start:end]."""
    size = end - start
    h = MURMUR_SEED ^ (np.uint64(size) * MURMUR_MUL)
    at = start
    for _ in range(size // 8):
        h = (h ^ (_fold(load8(data, at) * MURMUR_MUL, 47) * MURMUR_MUL)) * MURMUR_MUL
        at += 8
    if at < end:
        h = (h ^ _load(data, at, end - at)) * MURMUR_MUL
    return _fold(_fold(h, 47) * MURMUR_MUL, 47)


@njit(nogil=True, cache=True)
def _farm_mix(u: int, v: int, mul: int) -> int:
    a = _fold((u ^ v) * mul, 47)
    return _fold((v ^ a) * mul, 47) * mul


@njit(nogil=True, cache=True)
def _farm_short(data: UInt8, at: int, size: int) -> int:
    """At most 16 bytes."""
    n = np.uint64(size)
    mul = FARM_K2 + n * np.uint64(2)
    if size >= 8:
        a = load8(data, at) + FARM_K2
        b = load8(data, at + size - 8)
        return _farm_mix(_rotate(b, 37) * mul + a, (_rotate(a, 25) + b) * mul, mul)
    if size >= 4:
        return _farm_mix(n + (_load(data, at, 4) << np.uint64(3)), _load(data, at + size - 4, 4), mul)
    if size > 0:
        first, middle, last = np.uint64(data[at]), np.uint64(data[at + size // 2]), np.uint64(data[at + size - 1])
        y = first + (middle << np.uint64(8))
        z = n + (last << np.uint64(2))
        return _fold((y * FARM_K2) ^ (z * FARM_K0), 47) * FARM_K2
    return FARM_K2


@njit(nogil=True, cache=True)
def _farm_medium(data: UInt8, at: int, size: int) -> int:
    """17 to 64 bytes."""
    mul = FARM_K2 + np.uint64(size) * np.uint64(2)
    front = FARM_K1 if size <= 32 else FARM_K2
    a = load8(data, at) * front
    b = load8(data, at + 8)
    c = load8(data, at + size - 8) * mul
    d = load8(data, at + size - 16) * FARM_K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = a + _rotate(b + FARM_K2, 18) + c
    if size <= 32:
        return _farm_mix(y, z, mul)
    z = _farm_mix(y, z, mul)
    e = load8(data, at + 16) * mul
    f = load8(data, at + 24)
    g = (y + load8(data, at + size - 32)) * mul
    h = (z + load8(data, at + size - 24)) * mul
    return _farm_mix(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, mul)


@njit(nogil=True, cache=True)
def _farm_weak(data: UInt8, at: int, a: int, b: int) -> tuple[int, int]:
    """Mix 32 bytes into a pair of seeds."""
    w, x, y, z = load8(data, at), load8(data, at + 8), load8(data, at + 16), load8(data, at + 24)
    a += w
    b = _rotate(b + a + z, 21)
    c = a
    a += x + y
    b += _rotate(a, 44)
    return a + z, b + c


@njit(nogil=True, cache=True)
def _farm_long(data: UInt8, at: int, size: int) -> int:
    """More than 64 bytes."""
    x = np.uint64(81)
    y = x * FARM_K1 + np.uint64(113)
    z = _fold(y * FARM_K2 + np.uint64(113), 47) * FARM_K2
    v0, v1, w0, w1 = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    x = x * FARM_K2 + load8(data, at)
    last = at + size - 64
    for _ in range((size - 1) // 64):
        x = _rotate(x + y + v0 + load8(data, at + 8), 37) * FARM_K1
        y = _rotate(y + v1 + load8(data, at + 48), 42) * FARM_K1
        x ^= w1
        y += v0 + load8(data, at + 40)
        z = _rotate(z + w0, 33) * FARM_K1
        v0, v1 = _farm_weak(data, at, v1 * FARM_K1, x + w0)
        w0, w1 = _farm_weak(data, at + 32, z + w1, y + load8(data, at + 16))
        x, z = z, x
        at += 64
    mul = FARM_K1 + ((z & np.uint64(0xFF)) << np.uint64(1))
    w0 += np.uint64((size - 1) & 63)
    v0 += w0
    w0 += v0
    x = _rotate(x + y + v0 + load8(data, last + 8), 37) * mul
    y = _rotate(y + v1 + load8(data, last + 48), 42) * mul
    x ^= w1 * np.uint64(9)
    y += v0 * np.uint64(9) + load8(data, last + 40)
    z = _rotate(z + w0, 33) * mul
    v0, v1 = _farm_weak(data, last, v1 * mul, x + w0)
    w0, w1 = _farm_weak(data, last + 32, z + w1, y + load8(data, last + 16))
    x, z = z, x
    return _farm_mix(
        _farm_mix(v0, w0, mul) + _fold(y, 47) * FARM_K0 + z,
        _farm_mix(v1, w1, mul) + x,
        mul,
    )


@njit(nogil=True, cache=True)
def farm64(data: UInt8, start: int, end: int) -> int:
    """FarmHash Fingerprint64 of data[start:end]."""
    size = end - start
    if size <= 16:
        return _farm_short(data, start, size)
    if size <= 64:
        return _farm_medium(data, start, size)
    return _farm_long(data, start, size)


@njit(nogil=True, cache=True)
def hash_strings(data: UInt8, starts: Int64, ends: Int64, buckets: int, farm: bool) -> Int64:
    """Hash of every string modulo `buckets`, [N]."""
    modulus = np.uint64(buckets)
    out = np.empty(len(starts), np.int64)
    for i in range(len(starts)):
        h = farm64(data, starts[i], ends[i]) if farm else murmur64(data, starts[i], ends[i])
        out[i] = np.int64(h % modulus)
    return out


@njit(nogil=True, cache=True)
def hash_parts(strings: tuple[UInt8, Int64, Int64], bounds: Int64, buckets: Int64, farm: bool) -> Int64:
    """Hash of every string, of those from bounds[i] to bounds[i + 1] modulo buckets[i], [N]."""
    data, starts, ends = strings
    out = np.empty(len(starts), np.int64)
    for part in range(len(buckets)):
        modulus = np.uint64(buckets[part])
        for i in range(bounds[part], bounds[part + 1]):
            h = farm64(data, starts[i], ends[i]) if farm else murmur64(data, starts[i], ends[i])
            out[i] = np.int64(h % modulus)
    return out


@njit(nogil=True, cache=True)
def _write_decimal(value: int, out: UInt8) -> int:
    """Write the decimal text of `value` to the end of `out` [MAX_DIGITS]; returns where it starts."""
    negative = value < 0
    left = np.uint64(0) - np.uint64(value) if negative else np.uint64(value)
    at = MAX_DIGITS
    while True:
        at -= 1
        out[at] = np.uint8(48) + np.uint8(left % np.uint64(10))
        left //= np.uint64(10)
        if left == np.uint64(0):
            break
    if negative:
        at -= 1
        out[at] = np.uint8(45)
    return at


@njit(nogil=True, cache=True)
def hash_ints(values: Int64, buckets: int, farm: bool) -> Int64:
    """Hash of the decimal text of every integer modulo `buckets`, [N]."""
    modulus = np.uint64(buckets)
    text = np.empty(MAX_DIGITS, np.uint8)
    out = np.empty(len(values), np.int64)
    for i in range(len(values)):
        at = _write_decimal(values[i], text)
        h = farm64(text, at, MAX_DIGITS) if farm else murmur64(text, at, MAX_DIGITS)
        out[i] = np.int64(h % modulus)
    return out


@njit(nogil=True, cache=True)
def _same(a: UInt8, a_start: int, a_end: int, b: UInt8, b_start: int, b_end: int) -> bool:
    size = a_end - a_start
    if size != b_end - b_start:
        return False
    for at in range(0, size - 7, 8):
        if load8(a, a_start + at) != load8(b, b_start + at):
            return False
    left = size & 7
    return left == 0 or _load(a, a_end - left, left) == _load(b, b_end - left, left)


@njit(nogil=True, cache=True)
def _slot_of(table: Int64, words: UInt8, offsets: Int64, data: UInt8, start: int, end: int) -> int:
    """Slot of a word in an open-addressing table, or the free slot where it would go."""
    mask = np.uint64(len(table) - 1)
    at = murmur64(data, start, end) & mask
    while True:
        word = table[at]
        if word < 0 or _same(words, offsets[word], offsets[word + 1], data, start, end):
            return at
        at = (at + np.uint64(1)) & mask


@njit(nogil=True, cache=True)
def build_table(words: UInt8, offsets: Int64, size: int) -> Int64:
    """Hash table [size, a power of two] of word numbers; of equal words the last one stays."""
    table = np.full(size, -1, np.int64)
    for i in range(len(offsets) - 1):
        table[_slot_of(table, words, offsets, words, offsets[i], offsets[i + 1])] = i
    return table


@njit(nogil=True, cache=True)
def look_up(table: Int64, words: UInt8, offsets: Int64, data: UInt8, starts: Int64, ends: Int64) -> Int64:
    """Number of every string among the words, -1 where it is none, [N]."""
    out = np.empty(len(starts), np.int64)
    mask = np.uint64(len(table) - 1)
    for i in range(len(starts)):
        start, size = starts[i], ends[i] - starts[i]
        at = murmur64(data, start, start + size) & mask
        word = table[at]
        while word >= 0:
            other = offsets[word]
            if offsets[word + 1] - other == size:
                differing = 0
                for j in range(size):
                    differing |= words[np.uint64(other + j)] ^ data[np.uint64(start + j)]
                if differing == 0:
                    break
            at = (at + np.uint64(1)) & mask
            word = table[at]
        out[i] = word
    return out
