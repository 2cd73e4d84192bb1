"""Ranks that do a thing together: either all succeed, or all of them learn which one failed and why."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from tzx.runtime.errors import StorageError, TzxError

T = TypeVar("T")


class Ranks:
    """The ranks of a process group; a single process without one.

    Args:
        group: whose ranks they are; None for the default group.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        together = dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size(group) if together else 1
        self.rank = dist.get_rank(group) if together else 0

    @staticmethod
    def apart() -> "Ranks":
        """All ranks, with a channel of their own, so that a thread may use it beside the training; collective."""
        return Ranks(dist.new_group(backend="gloo") if Ranks().size > 1 else None)

    @property
    def is_chief(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Every rank's value, on every rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def do(self, action: Callable[[], T]) -> T:
        """Run `action` on every rank; where it fails on one, all raise that error."""
        result, error = _tried(action)
        failures = [(rank, e) for rank, e in enumerate(self.gather(error)) if e is not None]
        if failures:
            _raise(failures[0], error)
        return result  # type: ignore[return-value]

    def chief_does(self, action: Callable[[], T]) -> T:
        """Run `action` on rank 0 alone; every rank gets its result, or its error."""
        result, error = _tried(action) if self.is_chief else (None, None)
        result, failure = self.gather((result, error))[0]
        if failure is not None:
            _raise((0, failure), error)
        return result  # type: ignore[return-value]


def _tried(action: Callable[[], T]) -> tuple[T | None, TzxError | None]:
    try:
        return action(), None
    except TzxError as error:
        return None, error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return None, StorageError(f"{where}{error.strerror or error}")


def _raise(failure: tuple[int, TzxError], own: TzxError | None) -> None:
    rank, error = failure
    if own is not None:
        raise own
    raise type(error)(f"rank {rank}: {error}")
