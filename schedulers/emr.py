"""emr: runs a job on Spark, in the EMR Serverless of Alibaba or of Amazon, or on YARN.

The nodes of a job are the tasks of one barrier stage, started by a driver of our own (see _emr_driver.py) that ends
with the exit code of the node that failed, and whose output holds the lines of all nodes.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from types import ModuleType
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse, Scheduler, Stream
from torchx.schedulers.ids import make_unique
from torchx.specs import AppDef, AppDryRunInfo, runopts

from . import _emr_aws, _emr_serverless, _emr_yarn
from . import _emr_options as options
from . import _remote_jobs as remote
from ._emr_request import SparkRequest, build_request
from ._local_jobs import safe_name
from ._plan import with_plan
from ._replicas import matching
from ._words import SchedulerError

logger = logging.getLogger(__name__)
BACKEND = "emr"
_END = re.compile(r"tzx: (replica (\d+) on (\S+) exited with (\d+).*|Spark ended the stage.*)")
_RESTART = re.compile(r"; restart (\d+) of \d+$")


class EmrScheduler(Scheduler[Mapping[str, Any]]):
    """TorchX scheduler for Spark; see the module's docstring."""

    def __init__(self, session_name: str) -> None:
        super().__init__(BACKEND, session_name)
        self._known: dict[str, dict[str, Any]] = {}

    def _run_opts(self) -> runopts:
        return options.declare()

    def _validate(self, app: AppDef, scheduler: str, *_: object) -> None:
        if len(app.roles) != 1:
            names = ", ".join(role.name for role in app.roles) or "none"
            raise SchedulerError(f"{app.name}: a Spark job has one role, this has {names}; run each as its own")
        role = app.roles[0]
        if role.num_replicas < 1:
            raise SchedulerError(f"role {role.name}: num_replicas is {role.num_replicas}, it must be at least 1")
        if role.min_replicas is not None and role.min_replicas != role.num_replicas:
            raise SchedulerError(
                f"role {role.name}: {role.min_replicas} to {role.num_replicas} nodes, but a barrier stage has a fixed "
                f"number; -j {role.num_replicas}xN"
            )

    def _submit_dryrun(self, app: AppDef, cfg: Mapping[str, Any]) -> AppDryRunInfo[SparkRequest]:
        self._validate(app, BACKEND)
        role = app.roles[0]
        for ignored in [*role.mounts, *([f"image {role.image}"] if role.image else [])]:
            logger.warning("role %s: emr ignores %s; archives and files bring what the nodes need", role.name, ignored)
        name = make_unique(safe_name(app.name).lower())
        return AppDryRunInfo(build_request(app, self.session_name, name, cfg), with_plan(app, _describe))

    def schedule(self, dryrun_info: AppDryRunInfo[SparkRequest]) -> str:
        """Submits the job; returns the service's id of it."""
        request = dryrun_info.request
        app_id = str(_service(request.cfg).submit(request))
        remote.remember(BACKEND, app_id, request.cfg)
        return app_id

    def describe(self, app_id: str) -> DescribeAppResponse | None:
        """State, message and restarts of a job, or None if the service does not know it."""
        facts = self._facts(app_id)
        return None if facts is None else remote.described(self._with_end(facts))

    def list(self, cfg: Mapping[str, Any] | None = None) -> list[ListAppResponse]:
        """All jobs of tzx that the service remembers."""
        found = remote.settings(BACKEND, None, options.declare(), cfg)
        return [remote.listed(facts) for facts in _service(found).listed(found)]

    def _cancel_existing(self, app_id: str) -> None:
        facts = self._facts(app_id)
        if facts is not None and not facts.over:
            cfg = self._settings(app_id)
            _service(cfg).cancel(app_id, cfg)

    def _delete_existing(self, app_id: str) -> None:
        self._cancel_existing(app_id)
        remote.forget(BACKEND, app_id)

    def log_iter(
        self,
        app_id: str,
        role_name: str,
        k: int = 0,
        regex: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        should_tail: bool = False,
        streams: Stream | None = None,
    ) -> Iterable[str]:
        """Lines of one replica; see Scheduler.log_iter."""
        if since or until:
            raise SchedulerError("logs of Spark jobs cannot be cut by time")
        if streams not in (None, Stream.COMBINED):
            raise SchedulerError("Spark keeps one log with both streams; leave --streams out")
        remote.check_log(self._facts(app_id), app_id, role_name, k)
        cfg = self._settings(app_id)
        log = _service(cfg).Log(app_id, cfg)
        lines = remote.follow(lambda last: of_replica(log.lines(last), k), lambda: self._over(app_id), should_tail)
        return matching(regex, lines)

    def _over(self, app_id: str) -> bool:
        facts = self._facts(app_id)
        return facts is None or (facts.over and facts.settled)

    def _settings(self, app_id: str) -> dict[str, Any]:
        if app_id not in self._known:
            self._known[app_id] = remote.settings(BACKEND, app_id, options.declare())
        return self._known[app_id]

    def _facts(self, app_id: str) -> remote.Facts | None:
        cfg = self._settings(app_id)
        return _service(cfg).facts(app_id, cfg)  # type: ignore[no-any-return]

    def _with_end(self, facts: remote.Facts) -> remote.Facts:
        """The same facts with what the driver has said about the nodes: the service knows the job as a whole only."""
        restarts, failed = 0, None
        cfg = self._settings(facts.app_id)
        try:
            for line in _service(cfg).Log(facts.app_id, cfg).lines(True):
                if end := _END.match(line.rstrip("\n")):
                    again = _RESTART.search(end[1])
                    restarts, failed = (int(again[1]), None) if again else (restarts, end)
        except (OSError, SchedulerError) as error:
            logger.warning("the log of %s cannot be read: %s", facts.app_id, error)
        failed = failed if facts.state == "FAILED" else None
        replicas = [_replica(index, facts.state, failed) for index in range(facts.nodes)]
        message = failed[1] if failed else facts.message
        return replace(facts, restarts=restarts, message=message, replicas=tuple(replicas))


def _replica(index: int, state: str, end: re.Match[str] | None) -> remote.Replica:
    if end and end[2] == str(index):
        return remote.Replica(index, state, end[3], end[1], int(end[4]))
    return remote.Replica(index, state, message="was ended with the others" if end else "")


def of_replica(lines: Iterable[str], k: int) -> Iterator[str]:
    """What one node has written, and what the driver says about the whole job."""
    prefix = f"[{k}] "
    for line in lines:
        if line.startswith(prefix):
            yield line[len(prefix) :]
        elif line.startswith("tzx: "):
            yield line


def _describe(request: SparkRequest) -> str:
    return f"{_service(request.cfg).preview(request)}\n{request.describe()}"


def _service(cfg: Mapping[str, Any]) -> ModuleType:
    """The module for a flavor; each has preview, submit, facts, listed, cancel and Log."""
    return {"serverless": _emr_serverless, "yarn": _emr_yarn, "aws": _emr_aws}[options.flavor(cfg)]


def create_scheduler(session_name: str, **_: object) -> EmrScheduler:
    """The factory that the entry point names."""
    return EmrScheduler(session_name)
