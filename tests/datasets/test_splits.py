import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tzx.datasets.splits import PARTS, random_split, time_split


@given(st.integers(0, 500), st.integers(0, 2**32))
def test_random_split_covers_every_row_once(rows: int, seed: int):
    parts = random_split(rows, seed)
    assert tuple(parts) == PARTS
    assert sorted(np.concatenate(list(parts.values()))) == list(range(rows))


def test_random_split_has_the_stated_shares_and_follows_its_seed():
    parts = random_split(1000, 3)
    assert [len(rows) for rows in parts.values()] == [800, 100, 100]
    again, other = random_split(1000, 3), random_split(1000, 4)
    assert all(np.array_equal(parts[name], again[name]) for name in PARTS)
    assert not np.array_equal(parts["train"], other["train"])


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(0, 2**32))
def test_time_split_never_trains_on_the_future(timestamps: list[int], seed: int):
    times = np.array(timestamps, dtype=np.int64)
    parts = time_split(times, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(times)))
    latest = -1
    for name in PARTS:
        if len(parts[name]):
            assert times[parts[name]].min() > latest
            latest = times[parts[name]].max()


def test_time_split_shuffles_training_rows_only():
    times = np.arange(1000, dtype=np.int64)
    parts = time_split(times, 1)
    assert [len(rows) for rows in parts.values()] == [800, 100, 100]
    assert np.array_equal(parts["valid"], np.arange(800, 900))
    assert np.array_equal(parts["test"], np.arange(900, 1000))
    assert not np.array_equal(parts["train"], np.arange(800))
    assert not np.array_equal(parts["train"], time_split(times, 2)["train"])


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_splits_of_almost_nothing(rows: int):
    times = np.zeros(rows, dtype=np.int64)
    assert sum(map(len, random_split(rows, 0).values())) == rows
    assert sum(map(len, time_split(times, 0).values())) == rows
