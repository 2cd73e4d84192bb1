"""slurm: runs a job on a cluster by one sbatch, and remembers it.

TorchX's own needs Slurm's accounting and its JSON output. This one reads what every Slurm prints, and the job writes
down by itself how it ended, so that `torchx status`, `log`, `list` and `cancel` work from any terminal, for ever.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse, Scheduler, Stream
from torchx.schedulers.ids import make_unique
from torchx.specs import AppDef, AppDryRunInfo, runopts

from . import _local_logs as logs
from . import _slurm_client as client
from . import _slurm_jobs as jobs
from . import _slurm_options as options
from . import _slurm_view as view
from ._local_jobs import FINISHED, SPEC, read_json, safe_name, write_json
from ._plan import with_plan
from ._replicas import check_replica, matching
from ._slurm_script import SlurmRequest, build_request
from ._words import SchedulerError

logger = logging.getLogger(__name__)
_ASK_EVERY = 3.0  # seconds between two questions to Slurm while a log is followed


class SlurmScheduler(Scheduler[Mapping[str, Any]]):
    """TorchX scheduler for Slurm; see the module's docstring."""

    def __init__(self, session_name: str) -> None:
        super().__init__("slurm", session_name)

    def _run_opts(self) -> runopts:
        return options.declare()

    def _validate(self, app: AppDef, scheduler: str, *_: object) -> None:
        if len(app.roles) != 1:
            names = ", ".join(role.name for role in app.roles) or "none"
            raise SchedulerError(
                f"{app.name}: a Slurm job has one role, this has {names}; run them as jobs of their own"
            )
        role = app.roles[0]
        least = role.min_replicas
        if role.num_replicas < 1 or (least is not None and not 1 <= least <= role.num_replicas):
            raise SchedulerError(f"role {role.name}: {least or role.num_replicas} to {role.num_replicas} replicas")

    def _submit_dryrun(self, app: AppDef, cfg: Mapping[str, Any]) -> AppDryRunInfo[SlurmRequest]:
        self._validate(app, "slurm")
        role = app.roles[0]
        if not cfg.get("container_image"):
            for ignored in [*role.mounts, *([f"image {role.image}"] if role.image else [])]:
                logger.warning("role %s: slurm ignores %s without container_image", role.name, ignored)
        name = make_unique(safe_name(app.name))
        return AppDryRunInfo(build_request(app, self.session_name, name, cfg), with_plan(app, SlurmRequest.describe))

    def schedule(self, dryrun_info: AppDryRunInfo[SlurmRequest]) -> str:
        """Writes the job's directory and submits it; returns its number."""
        request = dryrun_info.request
        jobs.write(request)
        try:
            number = client.submit(request.command)
        except BaseException:
            for file in request.job.iterdir():
                file.unlink()
            request.job.rmdir()
            raise
        jobs.remember(number, request.job)
        return number

    def describe(self, app_id: str) -> DescribeAppResponse | None:
        """State, restarts, message and replicas of a job, or None if nobody knows it."""
        if not (app_id.isascii() and app_id.isdigit()):
            return None
        job = jobs.find(app_id)
        outcome = jobs.outcome(app_id, job)
        return None if outcome is None else view.describe(app_id, job, outcome)

    def list(self, cfg: Mapping[str, Any] | None = None) -> list[ListAppResponse]:
        """All jobs this user has submitted by tzx and that are remembered, newest last."""
        numbers = jobs.known()
        states = jobs.listed_states(numbers)
        found = ((number, jobs.find(number)) for number in numbers)
        return [view.listed(number, states[number], job) for number, job in found if job]

    def _cancel_existing(self, app_id: str) -> None:
        job = jobs.find(app_id)
        before = jobs.outcome(app_id, job)
        if before is None or before.state in FINISHED:
            return
        if job and os.access(job, os.W_OK):
            (job / jobs.CANCELLED).touch()
        client.cancel(app_id)
        facts = client.facts(app_id)
        if job and before.state == "PENDING" and facts and facts.state == "CANCELLED":
            # It has never run, so that nobody else would write it down.
            record = {"state": "CANCELLED", "code": None, "message": "cancelled while it waited", "ended": time.time()}
            write_json(job / jobs.EXIT, {**record, "restarts": facts.restarts})
            (job / "env.sh").unlink(missing_ok=True)

    def _delete_existing(self, app_id: str) -> None:
        self._cancel_existing(app_id)
        jobs.forget(app_id)

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
        job = jobs.find(app_id)
        if job is None:
            raise SchedulerError(f"job {app_id} was not submitted by tzx, or its directory is gone: there is no log")
        if since or until:
            raise SchedulerError("logs of Slurm jobs cannot be cut by time")
        check_replica(app_id, {read_json(job / SPEC)["role"]["name"]: view.replicas(job)}, role_name, k)
        window = logs.Window(follow=should_tail)
        stream = (streams or Stream.COMBINED).value
        lines = logs.read_lines(job / "replicas" / str(k), stream, window, _now_and_then(lambda: self._over(app_id)))
        return matching(regex, lines)

    def _over(self, app_id: str) -> bool:
        outcome = jobs.outcome(app_id, jobs.find(app_id))
        return outcome is None or outcome.state in FINISHED


def _now_and_then(question: Callable[[], bool]) -> Callable[[], bool]:
    """The same question, asked only when the last answer is old."""
    last = [0.0, False]

    def ask() -> bool:
        if not last[1] and time.monotonic() - last[0] > _ASK_EVERY:
            last[:] = [time.monotonic(), question()]
        return bool(last[1])

    return ask


def create_scheduler(session_name: str, **_: object) -> SlurmScheduler:
    """The factory that the entry point names."""
    return SlurmScheduler(session_name)
