"""Open-addressing hash tables from int64 ids to rows, over flat arrays.

* Ids are spread over buckets by the top bits of their hash (splitmix64, Steele et al. 2014). A bucket owns a range of
  rows and of slots, and nothing that happens in one depends on another: a process may hold any run of buckets.
* A slot holds 32 bits of the hash and a row, so that a probe reads the record of a row only where it will find its id.
* A record is 16 bytes: the id, then how often and in which step last it was seen. No count means that the row is free.
* Which rows are free, and which is the lowest of them, follows from the records alone. So the records are all that has
  to be saved, and a table rebuilt from them goes on exactly as the old one would have.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

LFU, LRU, DISTANCE_LFU, NEVER = range(4)

ID, SEEN = 0, 1  # columns of a record; SEEN is count << 32 | step
ROW, SLOT, CURSOR, FREE = range(4)  # columns of a bucket: first row, first slot, no free row before, free rows
_LOW = np.uint64(0xFFFFFFFF)
_MOST = np.int64(0x7FFFFFFF)
_BLOCK = 64


class Arrays(NamedTuple):
    """One hash table. `buckets` has an entry more than there are buckets, which ends the last one."""

    records: Int64  # [rows, 2]
    slots: UInt64
    buckets: Int64  # [buckets + 1, 4]
    first: Int64  # [2]: log2 of the number of buckets of all processes, number of the first one here


@njit(nogil=True, cache=True)
def mix(value: int) -> int:
    """Hash of 64 bits."""
    h = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(nogil=True, cache=True)
def bucket_numbers(ids: Int64, bits: int) -> Int64:
    """The bucket of each id, of 2**bits."""
    numbers = np.empty(len(ids), np.int64)
    for i in range(len(ids)):
        numbers[i] = (mix(ids[i]) >> np.uint64(1)) >> np.uint64(63 - bits)
    return numbers


@njit(nogil=True, cache=True)
def _bucket(t: Arrays, h: int) -> int:
    return np.int64((h >> np.uint64(1)) >> np.uint64(63 - t.first[0])) - t.first[1]


@njit(nogil=True, cache=True)
def _home(h: int, size: int) -> int:
    return np.int64(((h & _LOW) * np.uint64(size)) >> np.uint64(32))


@njit(nogil=True, cache=True)
def _tag(h: int) -> int:
    return (h >> np.uint64(24)) & _LOW


@njit(nogil=True, cache=True)
def _probe(t: Arrays, key: int, h: int, bucket: int) -> int:
    """The slot of an id, or ~slot of the empty one where it would go."""
    start = t.buckets[bucket, SLOT]
    size = t.buckets[bucket + 1, SLOT] - start
    at, tag = _home(h, size), _tag(h)
    while True:
        slot = t.slots[start + at]
        if slot == 0:
            return ~(start + at)
        if slot >> np.uint64(32) == tag and t.records[np.int64(slot & _LOW) - 1, ID] == key:
            return start + at
        at += 1
        if at == size:
            at = 0


@njit(nogil=True, cache=True)
def _row_of(t: Arrays, key: int) -> int:
    h = mix(key)
    slot = _probe(t, key, h, _bucket(t, h))
    return -1 if slot < 0 else np.int64(t.slots[slot] & _LOW) - 1


@njit(nogil=True, cache=True)
def _see(t: Arrays, row: int, count: int, now: int) -> None:
    total = min((t.records[row, SEEN] >> 32) + count, _MOST)
    t.records[row, SEEN] = total << 32 | now


@njit(nogil=True, cache=True)
def _rows(t: Arrays, ids: Int64) -> Int64:
    """Rows of a few ids.

    Each look-up misses the cache twice. Without branches in between, the processor waits for those of all ids at once.
    """
    slots = np.empty(len(ids), np.uint64)
    for i in range(len(ids)):
        h = mix(ids[i])
        bucket = _bucket(t, h)
        start = t.buckets[bucket, SLOT]
        slots[i] = t.slots[start + _home(h, t.buckets[bucket + 1, SLOT] - start)]
    found = np.empty(len(ids), np.int64)
    for i in range(len(ids)):
        found[i] = t.records[max(np.int64(slots[i] & _LOW) - 1, 0), ID]
    rows = np.empty(len(ids), np.int64)
    for i in range(len(ids)):
        at_home = found[i] == ids[i] and slots[i] != 0
        rows[i] = np.int64(slots[i] & _LOW) - 1 if at_home else _row_of(t, ids[i])
    return rows


@njit(nogil=True, cache=True)
def find(t: Arrays, ids: Int64) -> Int64:
    """The row of each id, -1 where it has none."""
    rows = np.empty(len(ids), np.int64)
    for start in range(0, len(ids), _BLOCK):
        rows[start : start + _BLOCK] = _rows(t, ids[start : start + _BLOCK])
    return rows


@njit(nogil=True, cache=True)
def touch(t: Arrays, ids: Int64, counts: Int64, now: int) -> Int64:
    """Like `find`, and count what is found as seen `counts` times in step `now`; no `counts` means once each."""
    rows = np.empty(len(ids), np.int64)
    ones = len(counts) == 0
    for start in range(0, len(ids), _BLOCK):
        block = _rows(t, ids[start : start + _BLOCK])
        for i in range(len(block)):
            if block[i] >= 0:
                _see(t, block[i], 1 if ones else counts[start + i], now)
        rows[start : start + _BLOCK] = block
    return rows


@njit(nogil=True, cache=True)
def _put(t: Arrays, row: int) -> bool:
    """Enter the id of a record; False when another record has it."""
    key = t.records[row, ID]
    h = mix(key)
    slot = _probe(t, key, h, _bucket(t, h))
    if slot >= 0:
        return False
    t.slots[~slot] = _tag(h) << np.uint64(32) | np.uint64(row + 1)
    return True


@njit(nogil=True, cache=True)
def insert(t: Arrays, ids: Int64, counts: Int64, now: int) -> Int64:
    """Give ids, all different and without a row, the lowest free row of their bucket each; -1 where none is left."""
    rows = np.full(len(ids), -1, np.int64)
    for i in range(len(ids)):
        bucket = t.buckets[_bucket(t, mix(ids[i]))]
        if bucket[FREE] == 0:
            continue
        row = bucket[CURSOR]
        while t.records[row, SEEN] != 0:
            row += 1
        bucket[CURSOR] = row + 1
        bucket[FREE] -= 1
        t.records[row, ID] = ids[i]
        t.records[row, SEEN] = min(counts[i], _MOST) << 32 | now
        _put(t, row)
        rows[i] = row
    return rows


@njit(nogil=True, cache=True)
def _free(t: Arrays, row: int) -> None:
    """Take the id of a row out. Later slots of its run move up, so that no probe stops short of them."""
    h = mix(t.records[row, ID])
    bucket = _bucket(t, h)
    start = t.buckets[bucket, SLOT]
    size = t.buckets[bucket + 1, SLOT] - start
    hole = _probe(t, t.records[row, ID], h, bucket) - start
    at = hole
    while True:
        at = at + 1 if at + 1 < size else 0
        slot = t.slots[start + at]
        if slot == 0:
            break
        home = _home(mix(t.records[np.int64(slot & _LOW) - 1, ID]), size)
        # It may move into the hole unless its home lies between the hole and itself, going round.
        if (at - home) % size >= (at - hole) % size:
            t.slots[start + hole] = slot
            hole = at
    t.slots[start + hole] = 0
    t.records[row, ID] = 0
    t.records[row, SEEN] = 0
    t.buckets[bucket, CURSOR] = min(t.buckets[bucket, CURSOR], row)
    t.buckets[bucket, FREE] += 1


@njit(nogil=True, cache=True)
def remove(t: Arrays, ids: Int64) -> None:
    """Free the rows of those ids that have one."""
    for i in range(len(ids)):
        row = _row_of(t, ids[i])
        if row >= 0:
            _free(t, row)


@njit(nogil=True, cache=True)
def _keys(seen: Int64, policy: int, exponent: float, now: int) -> Int64:
    """Numbers that rise as ids become more worth keeping; the highest of all for free rows and ids of step `now`."""
    keys = np.empty(len(seen), np.int64)
    scores = keys.view(np.float64)  # of positive floats, the bits rise with the value
    for i in range(len(seen)):
        count, last = seen[i] >> 32, seen[i] & 0xFFFFFFFF
        if count == 0 or last == now:
            keys[i] = np.int64(0x7FFFFFFFFFFFFFFF)
        elif policy == LFU:
            keys[i] = seen[i]
        elif policy == LRU:
            keys[i] = last << 32 | count
        elif exponent == 1.0:
            scores[i] = count / (now - last)
        else:
            scores[i] = count / (now - last) ** exponent
    return keys


@njit(nogil=True, cache=True)
def _evict(t: Arrays, bucket: int, wanted: int, keys: Int64) -> int:
    """Free the `wanted` rows of lowest key, of equal ones the lower rows, as far as they may be freed."""
    highest = np.int64(0x7FFFFFFFFFFFFFFF)
    wanted = min(wanted, np.sum(keys != highest))
    if wanted == 0:
        return 0
    cut = np.partition(keys, wanted - 1)[wanted - 1]
    ties = wanted - np.sum(keys < cut)
    first = t.buckets[bucket, ROW]
    for i in range(len(keys)):
        if keys[i] < cut:
            _free(t, first + i)
        elif keys[i] == cut and ties > 0:
            ties -= 1
            _free(t, first + i)
    return wanted


@njit(nogil=True, cache=True)
def make_room(t: Arrays, ids: Int64, policy: int, exponent: float, now: int) -> int:
    """Evict so that new `ids` fit, never an id seen in step `now`; returns how many were evicted.

    A bucket that is short of rows gives up as many as it needs and at least a 64th of them all, so that the search for
    the least worthy ones is made now and then and not in every step.
    """
    needed = np.zeros(len(t.buckets) - 1, np.int64)
    for i in range(len(ids)):
        needed[_bucket(t, mix(ids[i]))] += 1
    evicted = 0
    for bucket in range(len(needed)):
        missing = needed[bucket] - t.buckets[bucket, FREE]
        if missing > 0:
            start, end = t.buckets[bucket, ROW], t.buckets[bucket + 1, ROW]
            keys = _keys(t.records[start:end, SEEN], policy, exponent, now)
            evicted += _evict(t, bucket, max(missing, (end - start) // 64), keys)
    return evicted


@njit(nogil=True, cache=True)
def rebuild(t: Arrays) -> int:
    """Make slots and buckets from the records; returns the row of a record that cannot be there, else -1."""
    t.slots[:] = 0
    for bucket in range(len(t.buckets) - 1):
        start, end = t.buckets[bucket, ROW], t.buckets[bucket + 1, ROW]
        t.buckets[bucket, CURSOR] = start
        t.buckets[bucket, FREE] = 0
        for row in range(start, end):
            if t.records[row, SEEN] == 0:
                t.buckets[bucket, FREE] += 1
            elif _bucket(t, mix(t.records[row, ID])) != bucket or not _put(t, row):
                return row
    return -1


@njit(nogil=True, cache=True)
def distinct(ids: Int64, counts: Int64) -> tuple[Int64, Int64, Int64]:
    """Different ids in the order of their first occurrence, their summed counts, and the place of each id among them.

    No `counts` means once each.
    """
    bits = 4
    while 1 << bits < 2 * len(ids):
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    seats = np.full(1 << bits, -1, np.int32)
    unique = np.empty(len(ids), np.int64)
    totals = np.zeros(len(ids), np.int64)
    places = np.empty(len(ids), np.int64)
    found = 0
    for i in range(len(ids)):
        at = mix(ids[i]) & mask
        while seats[at] >= 0 and unique[seats[at]] != ids[i]:
            at = (at + np.uint64(1)) & mask
        if seats[at] < 0:
            seats[at] = found
            unique[found] = ids[i]
            found += 1
        places[i] = seats[at]
        totals[seats[at]] += 1 if len(counts) == 0 else counts[i]
    return unique[:found].copy(), totals[:found].copy(), places
