"""Lines of windows of time become a log: each line once, whatever the service repeats, splits, cuts or delays."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx_schedulers import _pai_dlc_logs as logs

START = datetime(2026, 11, 26, 10, tzinfo=timezone.utc)


class Pod:
    """A service that knows the lines of one pod; times are in seconds since START."""

    def __init__(self, lines: list[tuple[float, float, str]], most: int, keeps_last: bool, inclusive: bool) -> None:
        self.lines = sorted(enumerate(lines), key=lambda item: (item[1][0], item[0]))
        self.most, self.keeps_last, self.inclusive = most, keeps_last, inclusive
        self.now = 0.0
        self.split = False

    def ask(self, begin: datetime, end: datetime) -> Sequence[str]:
        low, high = (begin - START).total_seconds(), (end - START).total_seconds()
        found = []
        there = [(int(written), text) for _, (written, arrived, text) in self.lines if arrived <= self.now]
        if self.split and there:  # the newest line is half written
            there[-1] = (there[-1][0], there[-1][1][: len(there[-1][1]) // 2])
        for second, text in there:
            if low <= second and (second <= high if self.inclusive else second < high):
                found.append(text)
        return found[-self.most :] if self.keeps_last else found[: self.most]


def read(pod: Pod, polls: list[float], splits: list[bool]) -> list[str]:
    log = logs.PodLog(pod.ask, START)
    found: list[str] = []
    for time, split in zip(polls, splits, strict=True):
        pod.now, pod.split = time, split
        found += log.lines(START + timedelta(seconds=int(time) + 1), last=False)
    pod.now, pod.split = max(polls[-1], pod.lines[-1][1][0]) + 200, False
    return [*found, *log.lines(START + timedelta(seconds=int(pod.now) + 1), last=True)]


WORDS = st.sampled_from(["step", "step", "loss 0.5", "", "a longer line with words", "x"])


@pytest.mark.parametrize("keeps_last", [False, True])
@pytest.mark.parametrize("inclusive", [False, True])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_each_line_once_and_in_order(keeps_last: bool, inclusive: bool, data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.3, 1.0, 5.0, 90.0]), min_size=1, max_size=60))
    times = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    lines = [(time, time, data.draw(WORDS)) for time in times]
    polls = sorted(data.draw(st.lists(st.floats(0, times[-1] + 1), min_size=1, max_size=15)))
    splits = data.draw(st.lists(st.booleans(), min_size=len(polls), max_size=len(polls)))
    kept, most = logs._KEPT, logs.MOST
    try:
        logs._KEPT = 5
        # More lines in two seconds than an answer can hold cannot be told apart by time.
        seconds = Counter(int(time) for time in times)
        logs.MOST = 1 + max(seconds[second] + seconds[second + 1] for second in seconds)
        assert read(Pod(lines, logs.MOST, keeps_last, inclusive), polls, splits) == [text for _, _, text in lines]
    finally:
        logs._KEPT, logs.MOST = kept, most


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 60)), min_size=1, max_size=40), st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_late_lines_are_not_lost(stamps: list[tuple[float, float]], count: int) -> None:
    lines = [(written, written + late, f"line {i}") for i, (written, late) in enumerate(stamps)]
    polls = [400.0 * i / count for i in range(1, count + 1)]
    found = read(Pod(lines, 2000, False, True), polls, [False] * count)
    assert sorted(found) == sorted(text for _, _, text in lines)


def test_a_long_run_asks_for_short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_KEPT", 100)
    pod = Pod([(i / 2, i / 2, f"line {i % 7}") for i in range(4000)], logs.MOST, True, True)
    asked = []

    def ask(begin: datetime, end: datetime) -> Sequence[str]:
        asked.append(len(pod.ask(begin, end)))
        return pod.ask(begin, end)

    log = logs.PodLog(ask, START)
    found: list[str] = []
    for time in range(0, 2000, 20):
        pod.now = time
        found += log.lines(START + timedelta(seconds=time + 1), last=False)
    assert found == [f"line {i % 7}" for i in range(3960)]  # the newest is held back
    assert max(asked) < 700


def test_what_arrives_late_is_given_later() -> None:
    assert logs.fresh(["a", "c"], ["a", "b", "c", "d"]) == ["b", "d"]
    assert logs.fresh(["x", "x"], ["x", "x", "x"]) == ["x"]
    assert logs.fresh([], ["x"]) == ["x"]
