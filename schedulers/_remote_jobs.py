"""Jobs of a service elsewhere: what this machine remembers of them, and how TorchX is shown what the service says.

A handle is enough on any machine. What the service cannot say, region or address of a service, comes from what was
remembered when the job was submitted here, else from the backend's section of .torchxconfig.

<state home>/tzx/<backend>/<app_id>.json
"""

import importlib
import re
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchx.runner import config
from torchx.schedulers.api import DescribeAppResponse, ListAppResponse
from torchx.specs import NONE, AppState, ReplicaState, ReplicaStatus, Role, RoleStatus, runopts

from ._local_jobs import FINISHED, read_json, state_home, write_json
from ._replicas import check_replica
from ._status import error_json
from ._words import SchedulerError

ASK_EVERY = 3.0  # seconds between two questions while a log is followed


class NotFound(Exception):
    """The service knows nothing of this name."""


def sdk(module: str, extra: str) -> Any:
    """A module of an SDK, which is there only if somebody needs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SchedulerError(f"{error.name} is not installed: pip install 'tzx[{extra}]'") from None


@dataclass(frozen=True)
class Replica:
    """A node of a job."""

    index: int
    state: str  # as TorchX names it
    host: str = ""
    message: str = ""
    code: int | None = None


@dataclass(frozen=True)
class Facts:
    """What a service says about a job."""

    app_id: str
    state: str  # as TorchX names it
    name: str = ""
    message: str = ""
    restarts: int = 0
    url: str = ""
    role: str = "trainer"
    nodes: int = 1
    replicas: tuple[Replica, ...] = ()
    settled: bool = True  # no more lines come, if it is over

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in FINISHED


def remember(backend: str, app_id: str, cfg: Mapping[str, Any]) -> None:
    """Writes down with which options a job was submitted; none of them is a secret."""
    folder = state_home(backend)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(_file(backend, app_id), {"cfg": dict(cfg), "submitted": time.time()})


def forget(backend: str, app_id: str) -> None:
    """Forgets the options of a job."""
    _file(backend, app_id).unlink(missing_ok=True)


def settings(backend: str, app_id: str | None, opts: runopts, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of a job: as given or remembered, else as .torchxconfig has them, else the defaults."""
    cfg = {name: value for name, value in (given or {}).items() if value is not None}
    cfg |= dict(read_json(_file(backend, app_id)).get("cfg", {})) if app_id else {}
    config.apply(backend, cfg)
    return opts.resolve(cfg)


def _file(backend: str, app_id: str) -> Path:
    return state_home(backend) / f"{urllib.parse.quote(app_id, safe='')[:200]}.json"


def described(facts: Facts) -> DescribeAppResponse:
    """What `torchx status` shows."""
    role = Role(facts.role, "", num_replicas=facts.nodes)
    return DescribeAppResponse(
        app_id=facts.app_id,
        state=AppState[facts.state],
        num_restarts=facts.restarts,
        msg=facts.message or NONE,
        ui_url=facts.url or None,
        roles_statuses=[RoleStatus(facts.role, [_replica_status(facts.role, r) for r in facts.replicas])],
        roles=[role],
    )


def listed(facts: Facts) -> ListAppResponse:
    """A job's line in `torchx list`."""
    response = ListAppResponse(facts.app_id, AppState[facts.state])
    if hasattr(response, "name"):  # not in TorchX 0.7.0
        response.name = facts.name
    return response


def _replica_status(role: str, replica: Replica) -> ReplicaStatus:
    told = replica.message or replica.code
    error = error_json(replica.message or f"exited with {replica.code}", replica.code, time.time()) if told else NONE
    return ReplicaStatus(replica.index, ReplicaState[replica.state], role, replica.host, error)


def check_log(facts: Facts | None, app_id: str, role: str, index: int) -> None:
    """Refuses a log of something that is not there."""
    if facts is None:
        raise SchedulerError(f"there is no job {app_id}")
    check_replica(app_id, {facts.role: facts.nodes}, role, index)


def follow(fetch: Callable[[bool], Iterable[str]], over: Callable[[], bool], tail: bool) -> Iterator[str]:
    """Yields lines, each with its end; goes on until the job is over if `tail` says so.

    Args:
        fetch: the lines that have come since it was called before; told whether this is the last call.
        over: whether the job can write no more.
        tail: whether to wait for more.
    """
    while True:
        last = not tail or over()  # asked before the lines, so that nothing written until then is missed
        for line in fetch(last):
            yield line if line.endswith("\n") else f"{line}\n"
        if last:
            return
        time.sleep(ASK_EVERY)


def tag_value(text: str) -> str:
    """A text reduced to what every service takes as the value of a tag."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:60] or "x"
