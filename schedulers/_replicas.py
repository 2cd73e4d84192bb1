"""What a user asks for of the log of a replica; the same on every backend."""

from collections.abc import Iterable, Mapping

from torchx.schedulers.api import filter_regex

from ._words import SchedulerError


def check_replica(app_id: str, sizes: Mapping[str, int], role: str, index: int) -> None:
    """Refuses a log of something that is not there.

    Args:
        app_id: the job.
        sizes: how many replicas each of its roles has.
        role: the role asked for.
        index: the replica asked for.
    """
    if role not in sizes:
        raise SchedulerError(f"job {app_id} has no role {role!r}; its roles: {', '.join(sizes)}")
    if not 0 <= index < sizes[role]:
        raise SchedulerError(f"role {role} of {app_id} has replicas 0 to {sizes[role] - 1}, not {index}")


def matching(regex: str | None, lines: Iterable[str]) -> Iterable[str]:
    """The lines that a user asks for."""
    return filter_regex(regex, lines) if regex else lines
