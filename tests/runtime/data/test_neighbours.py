"""Arrays that lie end to end are seen as one, and nothing else is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.data.neighbours import joined

MEMORY = np.arange(40, dtype=np.int64)
GRID = np.arange(40, dtype=np.float32).reshape(20, 2)
slices = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted)


@given(st.lists(st.tuples(st.sampled_from([MEMORY, MEMORY.copy()]), slices), max_size=6))
def test_the_same_values_in_the_same_order(parts) -> None:
    arrays = [memory[first:last] for memory, (first, last) in parts]
    made = joined(arrays)
    assert [x for array in made for x in array.tolist()] == [x for array in arrays for x in array.tolist()]


def test_neighbours_are_one_view() -> None:
    (made,) = joined([MEMORY[3:5], MEMORY[5:5], MEMORY[5:9]])
    assert made.tolist() == list(range(3, 9))
    assert np.shares_memory(made, MEMORY)
    (rows,) = joined([GRID[:4], GRID[4:5]])
    assert rows.tolist() == GRID[:5].tolist()


def test_others_stay_apart() -> None:
    assert len(joined([MEMORY[3:5], MEMORY[6:9]])) == 2
    assert len(joined([MEMORY[5:9], MEMORY[3:5]])) == 2
    assert len(joined([MEMORY[:4:2], MEMORY[4:5]])) == 2
    assert len(joined([MEMORY[:2], MEMORY[2:4].view(np.float64)])) == 2
    assert len(joined([GRID[:2], GRID[2:4].reshape(4, 1)])) == 2
    assert len(joined([np.frombuffer(bytes(8), np.int64), np.frombuffer(bytes(8), np.int64)])) == 2
