"""Hostile strings and secrets, and the backends they are sent through.

A backend joins by a module beside this one with a function `make(request) -> Backend`, and a line in BACKENDS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torchx.schedulers.api import Scheduler
from torchx.specs import AppDef, Resource, Role

# Modules of this package; each has `make`.
BACKENDS = ("local", "slurm", "kubernetes", "pai_dlc", "emr", "emr_aws")


@dataclass
class Outcome:
    """What came of a job that was submitted to a stand-in of the backend."""

    logs: str  # what its replicas wrote and what the backend remembers of it
    sent: str  # everything that left the scheduler and can be read by others: commands, scripts, specs, requests
    state: str


@dataclass
class Backend:
    """A scheduler, and a stand-in of its cluster that runs what it is given."""

    scheduler: Scheduler[Any]
    run: Callable[[AppDef, Mapping[str, Any]], Outcome]
    image: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  # what every job needs
    # Words of a request that others interpret: commands, fields of an API object.
    words: Callable[[Any], set[str]] = lambda request: set()
    refuses_secrets_in_arguments: bool = False
    longest: int = 1_000_000  # of the corpus' words that fit in a job, and how many of them
    at_once: int = 1_000
    secrets_from_files: bool = False  # others can read all that it is told: a variable names a file on the nodes

    def app(self, entrypoint: str, args: list[str], **role: Any) -> AppDef:
        """An app with one role."""
        values = {"image": self.image, "resource": Resource(1, 0, 64), **role}
        return AppDef("job", [Role("worker", entrypoint=entrypoint, args=args, **values)])

    def plan(self, app: AppDef, **cfg: Any) -> Any:
        """The dry run."""
        return self.scheduler.submit_dryrun(app, {**self.options, **cfg})


def leaves(value: Any) -> set[str]:
    """All strings in lists and objects, keys too."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return leaves(list(value)).union(*(leaves(one) for one in value.values()))
    return set().union(*(leaves(one) for one in value)) if isinstance(value, list | tuple) else set()
