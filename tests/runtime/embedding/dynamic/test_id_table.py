"""Admission and eviction as features ask for them, against plain counting."""

import collections
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.config.thresholds import Threshold
from tzx.runtime.embedding.dynamic import kernels
from tzx.runtime.embedding.dynamic.id_map import NO_COUNTS, Eviction
from tzx.runtime.embedding.dynamic.id_table import IdTable
from tzx.runtime.embedding.dynamic.specs import IdMapSpec


def spec(**options: Any) -> IdMapSpec:
    values = {
        "name": "ids",
        "rows": 65,
        "eviction": Eviction(kernels.LRU),
        "interval": 1,
        "threshold": Threshold(),
        "counter_rows": 1000,
        "miss": None,
        "initial": None,
        "features": ("ids",),
    }
    return IdMapSpec(**values | options)


BATCHES = st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=10)


@settings(max_examples=500, deadline=None)
@given(BATCHES, st.integers(0, 6))
def test_admitted_when_seen_often_enough(batches: list[list[int]], threshold: int) -> None:
    table, seen = IdTable(spec(threshold=Threshold("count", threshold))), collections.Counter[int]()
    for now, batch in enumerate(batches, 1):
        seen.update(batch)
        rows = table.learn(np.array(batch, np.int64), NO_COUNTS, now)
        assert [row != 64 for row in rows] == [seen[key] >= threshold for key in batch]
        live = {key: row for key, row in zip(batch, rows, strict=True) if row != 64}
        assert len(set(live.values())) == len(live)
        state = table.maps["live"].state()
        assert all(state["counts"][row] == seen[key] for key, row in live.items()), "counts begin before admission"
    admitted = sum(count >= max(threshold, 1) for count in seen.values())
    assert (len(table), table.tally.admitted, table.tally.evicted) == (admitted, admitted, 0)


@settings(max_examples=500, deadline=None)
@given(BATCHES, st.sampled_from([0.5, 1.0, 2.0]))
def test_admitted_when_seen_more_than_the_others(batches: list[list[int]], multiple: float) -> None:
    table, seen, live = IdTable(spec(threshold=Threshold("mean", multiple))), collections.Counter[int](), set()
    for now, batch in enumerate(batches, 1):
        seen.update(batch)
        new = set(batch) - live
        mean = np.mean([seen[key] for key in new]) if new else 0
        live |= {key for key in new if seen[key] > multiple * mean}
        rows = table.learn(np.array(batch, np.int64), NO_COUNTS, now)
        assert [row != 64 for row in rows] == [key in live for key in batch]


def test_admitted_by_chance() -> None:
    table = IdTable(spec(rows=100_001, threshold=Threshold("chance", 0.1)), seed=3)
    once, thrice = np.arange(20_000), np.arange(20_000, 40_000)
    share = [np.mean(table.learn(ids, np.full(len(ids), n), 1) != 100_000) for ids, n in ((once, 1), (thrice, 3))]
    assert share == pytest.approx([0.1, 1 - 0.9**3], abs=0.01)
    again = np.mean(table.learn(once, NO_COUNTS, 2) != 100_000)
    assert again == pytest.approx(1 - 0.9**2, abs=0.01), "every sight is another chance"
    other = IdTable(spec(rows=100_001, threshold=Threshold("chance", 0.1)), seed=4)
    assert (other.find(once) == 100_000).all()
    assert not np.array_equal(other.learn(once, NO_COUNTS, 1), IdTable(table.spec, seed=3).learn(once, NO_COUNTS, 1))


def test_an_evicted_id_is_counted_anew() -> None:
    table = IdTable(spec(rows=3, threshold=Threshold("count", 2)))
    twice = np.full(1, 2)
    for now, key in enumerate((1, 2, 3), 1):
        table.learn(np.array([key]), twice, now)
    assert (table.find(np.array([1, 2, 3])) != 2).tolist() == [False, True, True]
    assert table.learn(np.array([1]), NO_COUNTS, 4).tolist() == [2], "it was seen once since it lost its row"
    assert table.tally.evicted == 1


def test_evicts_only_in_steps_of_its_interval() -> None:
    table = IdTable(spec(rows=3, interval=5))
    for now in range(1, 11):
        table.learn(np.array([now]), NO_COUNTS, now)
    live = [key for key in range(1, 11) if table.find(np.array([key]))[0] != 2]
    assert live == [5, 10]
    assert table.tally.evicted == 2 and table.tally.misses == 6


def test_without_room_the_order_of_the_batch_decides() -> None:
    table = IdTable(spec(rows=4))
    rows = table.learn(np.array([9, 9, 8, 7, 6, 9, 6]), NO_COUNTS, 1)
    assert rows.tolist() == [0, 0, 1, 2, 3, 0, 3]
    assert table.tally == type(table.tally)(seen=7, hits=0, misses=2, admitted=3, evicted=0)


def test_looking_up_changes_nothing() -> None:
    table = IdTable(spec(threshold=Threshold("count", 2)))
    table.learn(np.array([1, 1, 2]), NO_COUNTS, 1)
    before = {name: m.state() for name, m in table.maps.items()}
    assert (table.find(np.array([1, 2, 3])) == 64).tolist() == [False, True, True]
    after = {name: m.state() for name, m in table.maps.items()}
    assert all((before[n][k] == after[n][k]).all() for n in before for k in before[n])


def test_new_rows_are_handed_out_once() -> None:
    table = IdTable(spec())
    table.learn(np.array([5, 6, 5]), NO_COUNTS, 1)
    rows, ids = table.take_new()
    assert (rows.tolist(), ids.tolist()) == ([0, 1], [5, 6])
    assert table.take_new()[0].tolist() == []
