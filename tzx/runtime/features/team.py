"""Several threads at one list of tasks, the caller's among them."""

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Team:
    """`size` threads, started when first needed; a copy in another process starts its own."""

    def __init__(self, size: int) -> None:
        self.size = max(size, 1)
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def __reduce__(self) -> tuple[type["Team"], tuple[int]]:
        return Team, (self.size,)

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """Results in the order of the tasks; of several failures, that of the first task is raised."""
        if self.size == 1 or len(tasks) < 2:
            return [work(task) for task in tasks]
        results: dict[int, Result] = {}
        failures: dict[int, Exception] = {}
        numbers = itertools.count()

        def help_out() -> None:
            # Tasks differ in size, so everyone takes the next one.
            while (at := next(numbers)) < len(tasks):
                try:
                    results[at] = work(tasks[at])
                except Exception as error:
                    failures[at] = error

        others = [self._submit(help_out) for _ in range(min(self.size, len(tasks)) - 1)]
        help_out()
        for other in others:
            other.result()
        if failures:
            raise failures[min(failures)]
        return [results[at] for at in range(len(tasks))]

    def _submit(self, work: Callable[[], None]) -> "Future[None]":
        # Threads do not survive a fork.
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self.size - 1, "tzx-features")
        return self._pool[1].submit(work)
