import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tzx.datasets.history import past_events

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=80)


@given(EVENTS, st.integers(1, 6))
def test_history_is_the_newest_strictly_earlier_events_of_the_same_user(events: list, length: int):
    users, times = (np.array([e[i] for e in events], dtype=np.int64) for i in (0, 1))
    histories = past_events(users, times, length)
    assert len(histories.offsets) == len(events) + 1
    for row in range(len(events)):
        found = histories.rows[histories.offsets[row] : histories.offsets[row + 1]]
        earlier = [r for r in range(len(events)) if users[r] == users[row] and times[r] < times[row]]
        assert len(found) == min(len(earlier), length)
        assert set(found) <= set(earlier)
        # Newest first, and nothing newer was left out.
        assert list(times[found]) == sorted((times[r] for r in earlier), reverse=True)[:length]


def test_events_of_one_instant_do_not_see_each_other():
    histories = past_events(np.array([7, 7, 7]), np.array([10, 10, 11]), 5)
    assert list(np.diff(histories.offsets)) == [0, 0, 2]


def test_column_lists_the_values_of_past_events():
    histories = past_events(np.array([1, 2, 1, 1]), np.array([5, 5, 6, 7]), 5)
    column = histories.column(pa.chunked_array([["a", "b", "c", "d"]]))
    assert column.to_pylist() == [[], [], ["a"], ["c", "a"]]
