"""Loops over a batch, cut into stretches for as many threads as torch uses."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

Result = TypeVar("Result")


def even_bounds(size: int, parts: int) -> list[int]:
    """Where to cut `size` things into parts of about one size."""
    return [size * part // parts for part in range(parts + 1)]


def on_threads(work: Callable[[int, int], Result], bounds: Sequence[int]) -> list[Result]:
    """Work on the stretches between bounds, the first of them in this thread."""
    first, *others = pairwise(bounds)
    if not others:
        return [work(*first)]
    futures = [_threads(len(others)).submit(work, *stretch) for stretch in others]
    return [work(*first), *(future.result() for future in futures)]


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "tzx-rows")
