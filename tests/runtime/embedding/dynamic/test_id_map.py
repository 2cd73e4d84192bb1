"""The id map against a dictionary, whole and cut into shares of several processes."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.embedding.dynamic import id_map as module
from tzx.runtime.embedding.dynamic import kernels
from tzx.runtime.embedding.dynamic.id_map import BYTES_PER_ROW, NO_COUNTS, Eviction, IdMap, Part, owners
from tzx.runtime.errors import StorageError

POLICIES = (kernels.LFU, kernels.LRU, kernels.DISTANCE_LFU, kernels.NEVER)
MASK = 2**64 - 1


def splitmix(value: int) -> int:
    h = (value + 0x9E3779B97F4A7C15) & MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


@dataclass
class Entry:
    row: int
    count: int
    last: int


@dataclass
class Oracle:
    """A dictionary that does what an id map should, the slow and obvious way."""

    rows: int
    bits: int
    policy: int
    exponent: float = 1.0
    live: dict[int, Entry] = field(default_factory=dict)

    def bucket(self, key: int) -> int:
        return splitmix(key & MASK) * 2**self.bits // 2**64

    def bucket_rows(self, bucket: int) -> range:
        return range(bucket * self.rows // 2**self.bits, (bucket + 1) * self.rows // 2**self.bits)

    def free(self, bucket: int) -> list[int]:
        taken = {entry.row for entry in self.live.values()}
        return [row for row in self.bucket_rows(bucket) if row not in taken]

    def find(self, key: int) -> int:
        return self.live[key].row if key in self.live else -1

    def touch(self, key: int, count: int, now: int) -> int:
        if key in self.live:
            self.live[key].count += count
            self.live[key].last = now
        return self.find(key)

    def worth(self, entry: Entry, now: int) -> tuple[float, float, int]:
        if self.policy == kernels.LFU:
            return entry.count, entry.last, entry.row
        if self.policy == kernels.LRU:
            return entry.last, entry.count, entry.row
        return entry.count / (now - entry.last) ** self.exponent, 0, entry.row

    def make_room(self, keys: list[int], now: int) -> list[int]:
        evicted = []
        for bucket in range(2**self.bits):
            missing = sum(self.bucket(k) == bucket for k in keys) - len(self.free(bucket))
            if missing > 0:
                old = [k for k, e in self.live.items() if self.bucket(k) == bucket and e.last != now]
                old.sort(key=lambda k: self.worth(self.live[k], now))
                evicted += old[: max(missing, len(self.bucket_rows(bucket)) // 64)]
        for key in evicted:
            del self.live[key]
        return evicted

    def insert(self, keys: list[int], counts: list[int], now: int, may_evict: bool) -> tuple[list[int], int]:
        evicted = self.make_room(keys, now) if may_evict and self.policy != kernels.NEVER else []
        for key, count in zip(keys, counts, strict=True):
            if free := self.free(self.bucket(key)):
                self.live[key] = Entry(free[0], count, now)
        return [self.find(k) for k in keys], len(evicted)


class Shares:
    """The processes of an oracle's map, asked as one."""

    def __init__(self, oracle: Oracle, world: int) -> None:
        eviction = Eviction(oracle.policy, oracle.exponent)
        self.bits = oracle.bits
        self.maps = [IdMap(oracle.rows, eviction, Part(rank, world), oracle.bits) for rank in range(world)]

    def _each(self, keys: list[int]):
        owner = kernels.bucket_numbers(np.array(keys, np.int64), self.bits) * len(self.maps) >> self.bits
        return [(id_map, np.flatnonzero(owner == rank)) for rank, id_map in enumerate(self.maps)]

    def touch(self, keys: list[int], counts: list[int], now: int) -> list[int]:
        rows = np.zeros(len(keys), np.int64)
        for id_map, mine in self._each(keys):
            rows[mine] = id_map.touch(np.array(keys, np.int64)[mine], np.array(counts, np.int64)[mine], now)
        return rows.tolist()

    def find(self, keys: list[int]) -> list[int]:
        rows = np.zeros(len(keys), np.int64)
        for id_map, mine in self._each(keys):
            rows[mine] = id_map.find(np.array(keys, np.int64)[mine])
        return rows.tolist()

    def insert(self, keys: list[int], counts: list[int], now: int, may_evict: bool) -> tuple[list[int], int]:
        rows, total = np.zeros(len(keys), np.int64), 0
        for id_map, mine in self._each(keys):
            ids, seen = np.array(keys, np.int64)[mine], np.array(counts, np.int64)[mine]
            rows[mine], evicted = id_map.insert(ids, seen, now, may_evict)
            total += evicted
        return rows.tolist(), total

    def remove(self, keys: list[int]) -> None:
        for id_map, mine in self._each(keys):
            id_map.remove(np.array(keys, np.int64)[mine])

    def state(self) -> dict[str, np.ndarray]:
        states = [id_map.state() for id_map in self.maps]
        return {name: np.concatenate([s[name] for s in states]) for name in states[0]}

    def sent_on(self) -> list[int]:
        """How many ids each line has no room for."""
        return [n for id_map in self.maps for n in id_map._arrays.rows[15::16].tolist()]

    def moved(self, oracle: Oracle, world: int) -> "Shares":
        """The same map held by another number of processes."""
        new, state = Shares(oracle, world), self.state()
        for id_map in new.maps:
            mine = slice(id_map.start, id_map.start + len(id_map.state()["ids"]))
            id_map.load({name: values[mine] for name, values in state.items()})
        return new


# Few different ids, so that they come again; both ends of int64 among them.
KEYS = st.one_of(st.integers(0, 60), st.sampled_from([-1, 2**63 - 1, -(2**63), 0]))
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(KEYS, st.integers(1, 9)), max_size=25),
        st.booleans(),  # may evict
        st.sampled_from([0, 0, 0, 1, 2, 3, 4]),  # move to so many processes
        st.lists(KEYS, max_size=2),  # forget
    ),
    max_size=12,
)


@settings(max_examples=2000, deadline=None)
@given(
    rows=st.integers(1, 40),
    bits=st.integers(0, 3),
    policy=st.sampled_from(POLICIES),
    exponent=st.sampled_from([1.0, 0.5, 2.0]),
    steps=STEPS,
)
def test_like_a_dictionary(rows: int, bits: int, policy: int, exponent: float, steps: list[Any]) -> None:
    oracle = Oracle(max(rows, 2**bits), bits, policy, exponent)
    shares = Shares(oracle, 1)
    for step, (pairs, may_evict, world, forgotten) in enumerate(steps):
        now, keys, counts = step * 3 + 1, [k for k, _ in pairs], [c for _, c in pairs]
        assert shares.touch(keys, counts, now) == [oracle.touch(*pair, now) for pair in pairs]
        of_batch = {k for k in keys if k in oracle.live}
        new = {k: sum(c for j, c in pairs if j == k) for k in keys if k not in oracle.live}
        found = shares.insert(list(new), list(new.values()), now, may_evict)
        assert found == oracle.insert(list(new), list(new.values()), now, may_evict)
        assert of_batch <= set(oracle.live), "an id of the batch was evicted"
        shares.remove(forgotten)
        for key in forgotten:
            oracle.live.pop(key, None)
        assert shares.sent_on() == shares.moved(oracle, len(shares.maps)).sent_on(), "ids that are gone leave traces"
        if world:
            shares = shares.moved(oracle, world)
        state = shares.state()
        live = np.flatnonzero(state["counts"])
        held = {int(state["ids"][r]): (r, state["counts"][r], state["last_steps"][r]) for r in live}
        assert len(held) == len(live) == sum(map(len, shares.maps)), "two rows of one id"
        assert held == {k: (e.row, e.count, e.last) for k, e in oracle.live.items()}
        everything = sorted({k for pairs, *_ in steps for k, _ in pairs})
        assert shares.find(everything) == [oracle.find(k) for k in everything]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(KEYS, st.integers(0, 9))))
def test_distinct_ids_in_order(pairs: list[tuple[int, int]]) -> None:
    keys = np.array([k for k, _ in pairs], np.int64)
    for counts in (np.array([c for _, c in pairs], np.int64), NO_COUNTS):
        unique, totals, places = kernels.distinct(keys, counts)
        assert unique.tolist() == list(dict.fromkeys(keys.tolist()))
        assert (unique[places] == keys).all()
        ones = counts if len(counts) else np.ones(len(keys), np.int64)
        assert totals.tolist() == [ones[keys == k].sum() for k in unique]


def test_many_ids_in_many_buckets() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(-(2**63), 2**63 - 1, 200_000)
    id_map = IdMap(250_000, Eviction(kernels.LRU))
    rows, evicted = id_map.insert(ids, np.ones_like(ids), 1)
    assert evicted == 0 and (rows >= 0).all() and len(np.unique(rows)) == len(ids) == len(id_map)
    assert (id_map.find(ids) == rows).all() and (id_map.find(ids + 1) == -1).all()
    gone = rng.permutation(ids)[:150_000]
    id_map.remove(gone)
    assert (id_map.find(gone) == -1).all() and len(id_map) == 50_000
    left = np.setdiff1d(ids, gone)
    row_of = dict(zip(ids.tolist(), rows.tolist(), strict=True))
    assert id_map.find(left).tolist() == [row_of[k] for k in left.tolist()]


@pytest.mark.parametrize(
    ("policy", "exponent", "order"),
    [
        (kernels.LFU, 1.0, [2, 3, 4, 1]),
        (kernels.LRU, 1.0, [1, 4, 2, 3]),
        (kernels.DISTANCE_LFU, 1.0, [2, 4, 1, 3]),  # 2/2, 4/3, 9/5, 2/1
        (kernels.DISTANCE_LFU, 2.0, [1, 4, 2, 3]),  # 9/25, 4/9, 2/4, 2/1
        (kernels.DISTANCE_LFU, 0.5, [2, 3, 4, 1]),
        (kernels.NEVER, 1.0, []),
    ],
)
def test_who_goes_first(policy: int, exponent: float, order: list[int]) -> None:
    id_map, old = IdMap(4, Eviction(policy, exponent)), np.arange(1, 5)
    for key, count, step in ((1, 9, 1), (4, 4, 3), (3, 2, 5), (2, 2, 4)):
        id_map.insert(np.array([key]), np.array([count]), step)
    gone: list[int] = []
    for new in range(11, 16):  # one more than there are rows: ids of this step stay
        rows, evicted = id_map.insert(np.array([new]), np.array([1]), 6)
        lost = [int(k) for k in old if id_map.find(np.array([k]))[0] < 0 and k not in gone]
        assert (len(lost), int(rows[0]) >= 0) == (evicted, evicted > 0)
        gone += lost
    assert gone == order


@pytest.mark.parametrize("rank", [0, 1])
def test_threads_share_a_look_up(rank: int) -> None:
    ids = np.random.default_rng(rank).integers(-(2**63), 2**63 - 1, 40_000)
    ids = ids[owners(ids, 50_000, 2) == rank]
    id_map, threads = IdMap(50_000, Eviction(kernels.LRU), Part(rank, 2)), torch.get_num_threads()
    rows, _ = id_map.insert(ids[::2], np.ones_like(ids[::2]), 1)
    assert (id_map.start > 0) == (rank > 0) and (rows >= id_map.start).all()
    try:
        torch.set_num_threads(2)
        found = id_map.find(ids, absent=50_000)
    finally:
        torch.set_num_threads(threads)
    assert (found[::2] == rows).all() and (found[1::2] == 50_000).all()


def test_bytes_per_row() -> None:
    assert IdMap(1_000_000, Eviction(kernels.LRU)).nbytes / 1_000_000 <= BYTES_PER_ROW + 0.1


def test_counts_stop_at_the_largest_number() -> None:
    id_map, one = IdMap(4, Eviction(kernels.LFU)), np.array([7])
    id_map.insert(one, np.array([2**40]), 1)
    id_map.touch(one, np.array([2**31 - 1]), 2)
    assert id_map.state()["counts"].max() == 2**31 - 1 and id_map.state()["last_steps"].max() == 2


def test_a_process_more_than_there_are_buckets_holds_nothing() -> None:
    maps = [IdMap(10, Eviction(kernels.LRU), Part(rank, 3)) for rank in range(3)]
    assert sorted(len(m.state()["ids"]) for m in maps) == [0, 0, 10]
    ids = np.arange(50)
    holder = next(rank for rank, m in enumerate(maps) if len(m.state()["ids"]))
    assert (owners(ids, 10, 3) == holder).all()
    assert module.bucket_bits(10) == 0


@pytest.mark.parametrize("damage", [{1: 5}, {0: 99}])
def test_a_state_of_another_map_is_refused(damage: dict[int, int]) -> None:
    id_map = IdMap(64, Eviction(kernels.LRU), bits=3)
    id_map.insert(np.arange(20), np.ones(20, np.int64), 1)
    state = id_map.state()
    live = np.flatnonzero(state["counts"])
    other = {**state, "ids": state["ids"].copy()}
    for place, change in damage.items():  # an id twice, or one whose bucket does not have that row
        other["ids"][live[place]] = state["ids"][live[change]] if change < 20 else -12345
    with pytest.raises(StorageError, match="cannot be in row"):
        id_map.load(other)
