"""Hash tables from int64 ids to rows, over flat arrays.

* Ids are spread over buckets by the top bits of their hash (splitmix64, Steele et al. 2014). A bucket owns a range of
  rows and of lines, and nothing that happens in one depends on another: a process may hold any run of buckets.
* A line is a cache line: five ids, the row of each, and how many ids it has sent on. An id belongs into the line that
  its hash names, and goes on to the next one while lines are full. So a look-up waits for memory once, and reads
  further lines only where ids were sent on.
* How often and in which step last the id of a row was seen is kept by row. No count means that the row is free.
* Which rows are free, and which is the lowest of them, follows from the ids of rows and their counts alone. So these
  are all that has to be saved, and a table rebuilt from them goes on exactly as the old one would have.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from tzx.runtime.embedding.prefetch import prefetch

Int64 = npt.NDArray[np.int64]
UInt32 = npt.NDArray[np.uint32]

LFU, LRU, DISTANCE_LFU, NEVER = range(4)

LINE = 64  # bytes
ENTRIES = 5  # ids of a line
ROW, CURSOR, FREE = range(3)  # columns of a bucket: first row, no free row before, free rows
_MOST = np.int64(0x7FFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
_U = np.uint64
_ONE = np.uint64(1)
_IDS = np.uint64(LINE // 8)  # of a line, were it full of ids: where in `ids` the next line begins
_ROWS = np.uint64(LINE // 4)
_FIRST_ROW = np.uint64(2 * ENTRIES)  # in a line, as far as it is seen in `rows`
_SENT_ON = np.uint64(15)
_AHEAD = np.uint64(16)

_compiled = njit(nogil=True, cache=True)
_inlined = njit(nogil=True, inline="always")


class Arrays(NamedTuple):
    """One hash table. `buckets` has an entry more than there are buckets, which ends the last one."""

    ids: Int64  # [lines * 8]; the first ENTRIES of a line are ids
    rows: UInt32  # [lines * 16], the same memory; rows + 1 of these ids, 0 where there is none, then ids sent on
    seen: Int64  # [rows]: count << 32 | step
    buckets: Int64  # [buckets + 1, 3]
    shape: Int64  # [3]: log2 of the number of buckets of all processes, number of the first one here, lines of each


@_compiled
def mix(value: int) -> int:
    """Hash of 64 bits."""
    h = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@_compiled
def bucket_numbers(ids: Int64, bits: int) -> Int64:
    """The bucket of each id, of 2**bits."""
    numbers = np.empty(len(ids), np.int64)
    for i in range(len(ids)):
        numbers[i] = (mix(ids[i]) >> _ONE) >> _U(63 - bits)
    return numbers


@_inlined
def _bucket(t: Arrays, h: int) -> int:
    return np.int64((h >> _ONE) >> _U(63 - t.shape[0])) - t.shape[1]


@_inlined
def _home(t: Arrays, h: int) -> int:
    """The line that an id belongs into."""
    lines = _U(t.shape[2])
    return _U(_bucket(t, h)) * lines + (((h & _LOW) * lines) >> _U(32))


@_inlined
def _next(t: Arrays, line: int) -> int:
    """The line that ids are sent on to; the first of a bucket comes after its last."""
    line += _ONE
    return line - _U(t.shape[2]) if line % _U(t.shape[2]) == 0 else line


@_compiled
def _probe(t: Arrays, key: int) -> int:
    """Where in `t.rows` the row of an id is, -1 where it has none."""
    line = _home(t, mix(key))
    for _ in range(t.shape[2]):
        for e in range(_U(ENTRIES)):
            at = line * _ROWS + _FIRST_ROW + e
            if t.ids[line * _IDS + e] == key and t.rows[at] != 0:
                return np.int64(at)
        if t.rows[line * _ROWS + _SENT_ON] == 0:
            return -1
        line = _next(t, line)
    return -1


@_compiled
def find(t: Arrays, ids: Int64, rows: Int64, start: int, absent: int) -> None:
    """The row of each id into `rows`, counted from `start`, and `absent` where it has none.

    Lines are asked for some ids ahead, so that several misses of the cache are under way at a time.
    """
    lines, count = np.empty(_AHEAD, np.uint64), _U(len(ids))
    for i in range(min(_AHEAD, count)):
        lines[i] = _home(t, mix(ids[i]))
        prefetch(t.rows, lines[i] * _ROWS)
    for i in range(count):
        line, key, found = lines[i % _AHEAD], ids[i], np.uint32(0)
        if i + _AHEAD < count:
            coming = _home(t, mix(ids[i + _AHEAD]))
            prefetch(t.rows, coming * _ROWS)
            lines[i % _AHEAD] = coming
        for e in range(_U(ENTRIES)):
            row = t.rows[line * _ROWS + _FIRST_ROW + e]
            found |= row if t.ids[line * _IDS + e] == key else np.uint32(0)
        if found == 0 and t.rows[line * _ROWS + _SENT_ON] != 0:
            at = _probe(t, key)
            found = t.rows[at] if at >= 0 else np.uint32(0)
        rows[i] = np.int64(found) - 1 + start if found != 0 else absent


@_compiled
def see(t: Arrays, rows: Int64, start: int, counts: Int64, now: int) -> None:
    """Count the ids of rows as seen in step `now`, but for negative ones; no `counts` means once each."""
    ones, count = len(counts) == 0, _U(len(rows))
    for i in range(count):
        if i + _AHEAD < count:
            prefetch(t.seen, rows[i + _AHEAD] - start)
        if rows[i] >= 0:
            row = rows[i] - start
            total = min((t.seen[row] >> 32) + (1 if ones else counts[i]), _MOST)
            t.seen[row] = total << 32 | now


@_compiled
def _put(t: Arrays, key: int, row: int) -> None:
    """Enter an id that is not there."""
    line = _home(t, mix(key))
    while True:
        for e in range(_U(ENTRIES)):
            at = line * _ROWS + _FIRST_ROW + e
            if t.rows[at] == 0:
                t.ids[line * _IDS + e] = key
                t.rows[at] = row + 1
                return
        t.rows[line * _ROWS + _SENT_ON] += np.uint32(1)
        line = _next(t, line)


@_compiled
def insert(t: Arrays, ids: Int64, counts: Int64, now: int) -> Int64:
    """Give ids, all different and without a row, the lowest free row of their bucket each; -1 where none is left."""
    rows = np.full(len(ids), -1, np.int64)
    for i in range(len(ids)):
        bucket = t.buckets[_bucket(t, mix(ids[i]))]
        if bucket[FREE] == 0:
            continue
        row = bucket[CURSOR]
        while t.seen[row] != 0:
            row += 1
        bucket[CURSOR] = row + 1
        bucket[FREE] -= 1
        t.seen[row] = min(counts[i], _MOST) << 32 | now
        _put(t, ids[i], row)
        rows[i] = row
    return rows


@_compiled
def _take_out(t: Arrays, at: int) -> None:
    """Forget the id whose row stands at a place of `t.rows`, and free that row."""
    line = _U(at) // _ROWS
    h = mix(t.ids[line * _IDS + _U(at) % _ROWS - _FIRST_ROW])
    _call_back(t, _home(t, h), line)
    row, bucket = np.int64(t.rows[at]) - 1, t.buckets[_bucket(t, h)]
    t.rows[at] = 0
    t.seen[row] = 0
    bucket[CURSOR] = min(bucket[CURSOR], row)
    bucket[FREE] += 1
    _fill(t, _U(at))


@_inlined
def _call_back(t: Arrays, sender: int, line: int) -> None:
    """An id of a line is no longer sent on to it, by the lines from `sender` on."""
    while sender != line:
        t.rows[sender * _ROWS + _SENT_ON] -= np.uint32(1)
        sender = _next(t, sender)


@_compiled
def _fill(t: Arrays, hole: int) -> None:
    """Move an id that its line has sent on into a free place of it, then one into the place where that was, and so on.

    So lines are as they would be had only those ids come that live, however many have come and gone.
    """
    lines, line = _U(t.shape[2]), hole // _ROWS
    while t.rows[line * _ROWS + _SENT_ON] != 0:
        other, at = line, hole
        while at == hole:
            other = _next(t, other)
            for e in range(_U(ENTRIES)):
                if t.rows[other * _ROWS + _FIRST_ROW + e] != 0:
                    home = _home(t, mix(t.ids[other * _IDS + e]))
                    if (other + lines - home) % lines >= (other + lines - line) % lines:
                        at = other * _ROWS + _FIRST_ROW + e
        t.ids[line * _IDS + hole % _ROWS - _FIRST_ROW] = t.ids[other * _IDS + at % _ROWS - _FIRST_ROW]
        t.rows[hole] = t.rows[at]
        t.rows[at] = 0
        _call_back(t, line, other)
        line, hole = other, at


@_compiled
def remove(t: Arrays, ids: Int64) -> None:
    """Free the rows of those ids that have one."""
    for i in range(len(ids)):
        at = _probe(t, ids[i])
        if at >= 0:
            _take_out(t, at)


@_compiled
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


@_compiled
def _evict(t: Arrays, bucket: int, wanted: int, keys: Int64) -> int:
    """Free the `wanted` rows of lowest key, of equal ones the lower rows, as far as they may be freed."""
    highest = np.int64(0x7FFFFFFFFFFFFFFF)
    wanted = min(wanted, np.sum(keys != highest))
    if wanted == 0:
        return 0
    cut = np.partition(keys, wanted - 1)[wanted - 1]
    ties = wanted - np.sum(keys < cut)
    goes = keys < cut
    for i in range(len(keys)):
        if keys[i] == cut and ties > 0:
            ties -= 1
            goes[i] = True
    remove(t, _ids_of(t, bucket, goes))
    return wanted


@_compiled
def _ids_of(t: Arrays, bucket: int, chosen: npt.NDArray[np.bool_]) -> Int64:
    """The ids of chosen rows of a bucket."""
    ids, count = np.empty(int(np.sum(chosen)), np.int64), 0
    first, lines = t.buckets[bucket, ROW], t.shape[2]
    for line in range(_U(bucket * lines), _U((bucket + 1) * lines)):
        for e in range(_U(ENTRIES)):
            row = np.int64(t.rows[line * _ROWS + _FIRST_ROW + e]) - 1 - first
            if row >= 0 and chosen[row]:
                ids[count] = t.ids[line * _IDS + e]
                count += 1
    return ids


@_compiled
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
            keys = _keys(t.seen[start:end], policy, exponent, now)
            evicted += _evict(t, bucket, max(missing, (end - start) // 64), keys)
    return evicted


@_compiled
def ids_of_rows(t: Arrays) -> Int64:
    """The id of each row, 0 where it is free."""
    ids = np.zeros(len(t.seen), np.int64)
    for line in range(_U(len(t.rows)) // _ROWS):
        for e in range(_U(ENTRIES)):
            row = t.rows[line * _ROWS + _FIRST_ROW + e]
            if row != 0:
                ids[np.int64(row) - 1] = t.ids[line * _IDS + e]
    return ids


@_compiled
def rebuild(t: Arrays, ids: Int64) -> int:
    """Make lines and buckets from ids of rows and `seen`; returns the row of an id that cannot be there, else -1."""
    t.rows[:] = 0
    for bucket in range(len(t.buckets) - 1):
        start, end = t.buckets[bucket, ROW], t.buckets[bucket + 1, ROW]
        t.buckets[bucket, CURSOR] = start
        t.buckets[bucket, FREE] = 0
        for row in range(start, end):
            if t.seen[row] == 0:
                t.buckets[bucket, FREE] += 1
            elif _bucket(t, mix(ids[row])) != bucket or _probe(t, ids[row]) >= 0:
                return row
            else:
                _put(t, ids[row], row)
    return -1


@_compiled
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
