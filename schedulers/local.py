"""local_cwd: runs a job on this machine and remembers it.

Unlike TorchX's own, a job is known to every process of the same user, during the run and after it: `torchx status`,
`log`, `list` and `cancel` work from a second terminal. Ctrl-C on `torchx run` cancels the job unless `detach` is set.
"""

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse, Scheduler, Stream
from torchx.schedulers.ids import make_unique
from torchx.specs import AppDef, AppDryRunInfo, runopts

from . import _local_jobs as jobs
from . import _local_logs as logs
from . import _local_view as view
from ._local_spec import build_spec, without_secrets
from ._plan import with_plan
from ._replicas import check_replica, matching
from ._strict_opts import StrictOpts
from ._words import SchedulerError, plain
from .contract import hidden, masked

logger = logging.getLogger(__name__)


class LocalRequest:
    """What will be started: the spec of the job, and where its logs go."""

    def __init__(self, spec: dict[str, Any], log_dir: str | None, keep: int) -> None:
        self.spec = spec
        self.log_dir = log_dir
        self.keep = keep

    def describe(self) -> str:
        """A text for people, without secrets."""
        lines = [f"app id:   {self.spec['app_id']}", f"log dir:  {self.log_dir or jobs.default_root()}"]
        lines.append(f"retries:  {self.spec['max_retries']}, grace on cancel {self.spec['grace_seconds']} s")
        for role in self.spec["roles"]:
            for index, replica in enumerate(role["replicas"]):
                lines += [f"{role['name']}[{index}]: (in {replica['cwd']})", f"  {hidden(shlex.join(replica['args']))}"]
                lines += [f"    {name}={value}" for name, value in sorted(masked(replica["env"]).items())]
        return "\n".join(lines)


class LocalScheduler(Scheduler[Mapping[str, Any]]):
    """TorchX scheduler for this machine; see the module's docstring."""

    def __init__(self, session_name: str) -> None:
        super().__init__("local_cwd", session_name)
        self._attached: dict[str, subprocess.Popen[bytes]] = {}
        self._followers: set[object] = set()

    def _run_opts(self) -> runopts:
        opts = StrictOpts()
        opts.add(
            "log_dir", type_=str, default=None, help="where job directories go (default: the user's state directory)"
        )
        opts.add("detach", type_=bool, default=False, help="leave the job running when `torchx run` is interrupted")
        opts.add("grace_seconds", type_=int, default=30, help="time between SIGTERM and SIGKILL when a job is stopped")
        opts.add("prepend_cwd", type_=bool, default=False, help="look for programs in the working directory first")
        opts.add(
            "auto_set_cuda_visible_devices",
            type_=bool,
            default=True,
            help="give each replica GPUs of its own, those first that no other local job has",
        )
        opts.add("keep", type_=int, default=200, help="number of jobs to remember; the oldest finished ones go first")
        return opts

    def _validate(self, app: AppDef, scheduler: str, *_: object) -> None:
        names = [role.name for role in app.roles]
        if not names or len(set(names)) != len(names):
            raise SchedulerError(f"{app.name}: roles must be there and have different names, got {names}")
        for role in app.roles:
            if role.num_replicas < 1:
                raise SchedulerError(f"role {role.name}: num_replicas is {role.num_replicas}, it must be at least 1")
            for mount in role.mounts:
                logger.warning("role %s: local_cwd has no containers and ignores %s", role.name, mount)

    def _submit_dryrun(self, app: AppDef, cfg: Mapping[str, Any]) -> AppDryRunInfo[LocalRequest]:
        app_id = make_unique(jobs.safe_name(app.name))
        spec = build_spec(app, app_id, self.session_name, cfg)
        log_dir = cfg.get("log_dir")
        request = LocalRequest(spec, plain(log_dir, "log_dir") if log_dir else None, int(cfg.get("keep") or 0))
        return AppDryRunInfo(request, with_plan(app, LocalRequest.describe, here=True))

    def schedule(self, dryrun_info: AppDryRunInfo[LocalRequest]) -> str:
        """Starts the job under a supervisor of its own and returns when that has taken over."""
        request = dryrun_info.request
        spec = request.spec
        app_id = spec["app_id"]
        job = jobs.create(app_id, request.log_dir, self.session_name)
        jobs.write_json(job / jobs.STATE, {"state": "SUBMITTED", "updated": time.time()})
        jobs.write_json(job / jobs.SPEC, without_secrets(spec))
        if request.keep > 0:
            jobs.prune(request.keep)
        process = _start_supervisor(job, spec)
        if not spec["detach"]:
            self._attached[app_id] = process
            _exit_on_signals()
        return app_id

    def describe(self, app_id: str) -> DescribeAppResponse | None:
        """State, restarts, message and replicas of a job, or None if it is not known here."""
        job = jobs.find(app_id)
        return None if job is None else view.describe(app_id, job)

    def list(self, cfg: Mapping[str, Any] | None = None) -> list[ListAppResponse]:
        """All jobs this user has run here and that are still remembered, newest last."""
        found = ((app_id, jobs.find(app_id)) for app_id in jobs.app_ids())
        return [view.listed(app_id, job) for app_id, job in found if job]

    def _cancel_existing(self, app_id: str) -> None:
        job = jobs.find(app_id)
        state = jobs.read_json(job / jobs.STATE) if job else {}
        if state.get("state") in jobs.FINISHED:
            return
        for process in (state.get("keeper"), state.get("supervisor")):
            if process and jobs.is_alive(process):
                os.kill(process["pid"], signal.SIGTERM)
                return

    def _delete_existing(self, app_id: str) -> None:
        self._cancel_existing(app_id)
        self._wait(app_id, timeout=None)
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
            raise SchedulerError(f"no local job {app_id!r}; `torchx list -s local_cwd` names those that are known")
        roles = {role["name"]: role for role in jobs.read_json(job / jobs.SPEC)["roles"]}
        check_replica(app_id, {name: len(role["replicas"]) for name, role in roles.items()}, role_name, k)
        lines = logs.read_lines(
            job / roles[role_name]["folder"] / str(k),
            (streams or Stream.COMBINED).value,
            logs.Window(since, until, should_tail),
            lambda: jobs.current_state(job)["state"] in jobs.FINISHED,
        )
        lines = self._noted(lines) if should_tail else lines
        return matching(regex, lines)

    def _noted(self, lines: Iterator[str]) -> Iterator[str]:
        follower = object()
        self._followers.add(follower)
        try:
            yield from lines
        finally:
            self._followers.discard(follower)

    def close(self) -> None:
        """Ends the jobs that this process has started and that were not detached."""
        for app_id, process in list(self._attached.items()):
            job = jobs.find(app_id)
            if job is not None and jobs.current_state(job)["state"] not in jobs.FINISHED:
                self._cancel_attached(app_id, process)
            self._attached.pop(app_id, None)

    def _cancel_attached(self, app_id: str, process: subprocess.Popen[bytes]) -> None:
        print(f"cancelling {app_id}, it may take a moment to save its work (Ctrl-C: at once)", file=sys.stderr)
        self._cancel_existing(app_id)
        try:
            process.wait()
        except KeyboardInterrupt:
            self._cancel_existing(app_id)
            process.wait()
        end = time.monotonic() + 2.0
        while self._followers and time.monotonic() < end:  # the last lines are still being printed
            time.sleep(0.02)

    def _wait(self, app_id: str, timeout: float | None) -> None:
        end = time.monotonic() + (timeout or float("inf"))
        while (job := jobs.find(app_id)) and jobs.current_state(job)["state"] not in jobs.FINISHED:
            if time.monotonic() > end:
                raise TimeoutError(f"{app_id} has not ended within {timeout} s")
            time.sleep(0.1)


def create_scheduler(session_name: str, **_: object) -> LocalScheduler:
    """The factory that the entry point names."""
    return LocalScheduler(session_name)


def _start_supervisor(job: Path, spec: dict[str, Any]) -> subprocess.Popen[bytes]:
    for role in spec["roles"]:
        for index, replica in enumerate(role["replicas"]):
            folder = job / role["folder"] / str(index)
            folder.mkdir(parents=True)
            replica["env"].setdefault("TORCHELASTIC_ERROR_FILE", str(folder / "error.json"))
            replica["env"].setdefault("PET_LOG_DIR", str(folder / "torchelastic"))  # torchrun's --log_dir
    env = dict(os.environ)
    if "PYTHONPATH" in env:  # the supervisor's working directory is another one
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in env["PYTHONPATH"].split(os.pathsep))
    with open(job / "supervisor.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tzx_schedulers._local_supervisor", str(job)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            env=env,
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(spec).encode())
    process.stdin.close()
    end = time.monotonic() + jobs.START_TIMEOUT
    while jobs.read_json(job / jobs.STATE).get("state") == "SUBMITTED":
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the job's supervisor did not start: {(job / 'supervisor.log').read_text().strip()}")
        time.sleep(0.01)
    return process


def _exit_on_signals() -> None:
    """Makes SIGTERM and a closed terminal end `torchx run` in order, so that close() cancels the job."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, leave)
