"""Results of several threads in the order of their items."""

import threading
from collections.abc import Iterator

import pytest

from tzx.runtime.data.ordered import in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(in_order(lambda n: n * n, range(50), threads)) == [(n, n * n) for n in range(50)]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_failure_comes_where_its_item_stood(threads: int) -> None:
    def work(number: int) -> int:
        if number in (7, 9):
            raise ValueError(f"item {number}")
        return number

    results = in_order(work, range(50), threads)
    assert [next(results)[1] for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="item 7"):
        next(results)


def test_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)
    assert len(list(in_order(lambda _: both.wait(), range(4), 2))) == 4


def test_only_a_few_items_are_taken_ahead_and_closing_ends_the_threads() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(lambda n: n, items(), 2)
    next(results)
    assert len(taken) == 4
    results.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("tzx-features")]
