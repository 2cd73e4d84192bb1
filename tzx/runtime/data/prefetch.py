"""Runs an iterator ahead of its consumer in a thread, through a bounded queue."""

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 5.0
_NICENESS, _LOWEST = 10, 19


class Prefetch(Generic[T]):
    """At most `depth` items ahead of the consumer; errors of the producer come out where they would have come out.

    Closing it stops the thread at its next item and waits for it, so that nothing is left behind.
    """

    def __init__(
        self, produce: Callable[[], Iterator[T]], depth: int, give_up: Callable[[], bool] | None = None
    ) -> None:
        """`produce` is called in the thread, and the iterator it returns is closed there.

        Where `give_up` says so while there is nothing to hand out, iteration ends as if nothing more came.
        """
        self._produce = produce
        self._give_up = give_up or (lambda: False)
        self._items: queue.Queue[tuple[str, object]] = queue.Queue(depth)
        self._stop = threading.Event()
        # A daemon, so that a consumer that forgets the iterator cannot keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="tzx-loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                kind, item = self._items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._give_up():
                    return
                continue
            if kind == "end":
                return
            if kind == "error":
                raise item  # type: ignore[misc]
            yield item  # type: ignore[misc]

    def close(self) -> None:
        """End the thread. One that hangs in a read is left to end with the process, rather than hold it up."""
        self._stop.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        _give_way()
        last: tuple[str, object] = ("end", None)
        items = iter(())  # type: Iterator[T]
        try:
            items = self._produce()
            for item in items:
                if not self._put(("item", item)):
                    break
        except BaseException as error:
            last = ("error", error)
        finally:
            getattr(items, "close", lambda: None)()
        self._put(last)

    def _put(self, entry: tuple[str, object]) -> bool:
        while not self._stop.is_set():
            try:
                self._items.put(entry, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False


def _give_way() -> None:
    """Let the threads of a step go before this one, and those that it starts.

    They wait for one another at each product, so that a core taken from one of them is lost to all, while a step leaves
    cores idle long enough to make the next batch.
    """
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        with suppress(OSError):  # a sandbox may refuse it
            mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(mine + _NICENESS, _LOWEST))
