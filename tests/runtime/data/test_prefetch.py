"""Items come in order, ahead of their consumer, from a thread that lets others go first."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from tzx.runtime.data.prefetch import Prefetch


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_items_come_in_order_and_an_error_where_it_arose() -> None:
    def produce() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the sixth")

    ahead, seen = Prefetch(produce, 2), []
    with pytest.raises(ValueError, match="the sixth"):
        for item in ahead:
            seen.append(item)
    ahead.close()
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_the_thread_and_those_that_it_starts_give_way_to_the_consumer() -> None:
    def produce() -> Iterator[int]:
        yield _priority()
        found: list[int] = []
        helper = threading.Thread(target=lambda: found.append(_priority()))
        helper.start()
        helper.join()
        yield from found

    before = _priority()
    ahead = Prefetch(produce, 2)
    assert list(ahead) == [min(before + 10, 19)] * 2
    ahead.close()
    assert _priority() == before


def test_a_sandbox_that_refuses_priorities_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    ahead = Prefetch(lambda: iter(range(3)), 2)
    assert list(ahead) == [0, 1, 2]
    ahead.close()
