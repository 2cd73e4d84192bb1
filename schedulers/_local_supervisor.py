"""Runs one local job, detached from the terminal that asked for it: python -m tzx_schedulers._local_supervisor JOB_DIR.

Two processes, so that nothing outlives the job even if one of them is killed with -9. The keeper waits; the supervisor,
its child, starts the replicas and writes what becomes of them. Both are subreapers: a process that leaves its session
or its parent stays findable below them. Whichever survives the other ends everything below it.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _local_jobs as jobs
from ._local_logs import ReplicaLogs
from .contract import NEVER_RETRIED, RESTARTS

_POLL = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Replica:
    """One process of the job, as it runs."""

    role: str
    index: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    logs: ReplicaLogs | None = None
    exit_code: int | None = None
    reason: str = ""

    def running(self) -> bool:
        """Whether it was started and its exit has not been seen."""
        return self.process is not None and self.exit_code is None

    def state(self) -> str:
        """What `torchx status` shows for it."""
        if self.exit_code is None:
            return "RUNNING" if self.process else "PENDING"
        return "SUCCEEDED" if self.exit_code == 0 else "FAILED"


@dataclass
class Supervisor:
    """Starts the replicas, restarts all of them when one fails in a way worth it, and stops them on request."""

    job: Path
    spec: dict[str, Any]
    keeper: dict[str, Any]
    attempt: int = 0
    stops: int = 0
    started: float = field(default_factory=time.time)
    replicas: list[Replica] = field(default_factory=list)

    def stop(self, *_: object) -> None:
        """Asks for the end of the job; asked a second time, the end comes at once."""
        self.stops += 1

    def run(self) -> None:
        """Carries the job to one of its final states."""
        while True:
            failed = self._run_attempt()
            if self.stops:
                return self._save("CANCELLED", self._why_stopped())
            if failed is None:
                return self._save("SUCCEEDED")
            message = f"{failed.role}[{failed.index}] {failed.reason}"
            if failed.exit_code in NEVER_RETRIED or self.attempt >= self.spec["max_retries"]:
                return self._save("FAILED", message)
            self.attempt += 1
            self._announce_restart(message)
            self._pause(min(30.0, 2.0 ** (self.attempt - 1)))
            if self.stops:
                return self._save("CANCELLED", f"{self._why_stopped()}; before that {message}")

    def _run_attempt(self) -> Replica | None:
        """Runs all replicas to their end and returns the one that failed first, if one did."""
        self.replicas = [
            Replica(role["name"], index, self.job / role["folder"] / str(index))
            for role in self.spec["roles"]
            for index in range(len(role["replicas"]))
        ]
        for replica in self.replicas:
            if not self.stops:
                self._start(replica)
            if replica.exit_code is not None:
                break
        self._save("RUNNING")
        failed = self._wait()
        kill_below(os.getpid())
        self._collect(until_quiet=True)
        return failed

    def _start(self, replica: Replica) -> None:
        role = next(role for role in self.spec["roles"] if role["name"] == replica.role)
        params = role["replicas"][replica.index]
        env = {**os.environ, **params["env"], RESTARTS: str(self.attempt)}
        (replica.folder / "error.json").unlink(missing_ok=True)
        try:
            replica.process = subprocess.Popen(
                params["args"],
                env=env,
                cwd=params["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_prepare_replica,
            )
        except OSError as error:
            replica.exit_code = 127 if isinstance(error, FileNotFoundError) else 126
            # Popen reports a missing working directory and a missing program alike; the file name tells which.
            replica.reason = f"could not be started: {error.filename or params['args'][0]}: {error.strerror}"
            return
        assert replica.process.stdout is not None and replica.process.stderr is not None
        replica.logs = ReplicaLogs(replica.folder, replica.process.stdout, replica.process.stderr)

    def _wait(self) -> Replica | None:
        """Waits until all replicas have ended; a failure or a stop request makes the others end as well."""
        failed = next((r for r in self.replicas if r.exit_code), None)
        told, deadline = 0, float("inf")
        while any(replica.running() for replica in self.replicas):
            wanted = max(self.stops, 1 if failed else 0)
            if wanted > told:
                # Only the leaders are told: a trainer needs its data workers until its checkpoint is saved.
                self._signal(signal.SIGTERM)
                deadline = time.monotonic() + (self.spec["grace_seconds"] if wanted == 1 else 2.0)
                told = wanted
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            self._collect()
            for replica in self._exited():
                if replica.exit_code and failed is None and not self.stops and not self._dispensable(replica):
                    failed = replica
                self._save("RUNNING")
        return failed

    def _exited(self) -> list[Replica]:
        """The replicas whose end is seen now for the first time."""
        found = []
        for replica in self.replicas:
            if replica.running() and replica.process and replica.process.poll() is not None:
                replica.exit_code = replica.process.returncode
                replica.reason = _describe_exit(replica.exit_code, replica.folder)
                found.append(replica)
        return found

    def _dispensable(self, failed: Replica) -> bool:
        """Whether an elastic role can go on without this replica."""
        role = next(role for role in self.spec["roles"] if role["name"] == failed.role)
        alive = sum(r.role == failed.role and not r.exit_code for r in self.replicas)
        return role["min_replicas"] is not None and alive >= role["min_replicas"]

    def _signal(self, number: signal.Signals) -> None:
        for replica in self.replicas:
            if replica.running() and replica.process:
                replica.process.send_signal(number)

    def _collect(self, until_quiet: bool = False) -> None:
        """Copies output to the log files: for one moment, or until nothing more comes."""
        end = time.monotonic() + 2.0
        while True:
            with selectors.DefaultSelector() as selector:
                for logs in (replica.logs for replica in self.replicas if replica.logs):
                    for stream in logs.open_streams():
                        selector.register(stream, selectors.EVENT_READ, logs)
                if not selector.get_map():
                    if not until_quiet:
                        time.sleep(_POLL)
                    break
                for key, _ in selector.select(_POLL):
                    key.data.copy(key.fileobj)
            if not until_quiet or time.monotonic() > end:
                break
        for replica in self.replicas:
            if replica.logs:
                replica.logs.flush(final=until_quiet)

    def _announce_restart(self, message: str) -> None:
        text = f"tzx: {message}; restart {self.attempt} of {self.spec['max_retries']}\n"
        for replica in self.replicas:
            if replica.logs:
                replica.logs.note(text)
        self._save("PENDING", message)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stops:
            time.sleep(_POLL)

    def _why_stopped(self) -> str:
        return "cancelled" if os.getppid() == self.keeper["pid"] else "its keeper process was killed"

    def _save(self, state: str, message: str = "") -> None:
        replicas: dict[str, list[dict[str, Any]]] = {}
        for replica in self.replicas:
            pid = replica.process.pid if replica.process else None
            entry = {"state": replica.state(), "pid": pid, "exit_code": replica.exit_code, "reason": replica.reason}
            replicas.setdefault(replica.role, []).append(entry)
        write_state(
            self.job,
            {
                "state": state,
                "message": message,
                "restarts": self.attempt,
                "keeper": self.keeper,
                "supervisor": jobs.identify(os.getpid()),
                "started": self.started,
                "updated": time.time(),
                "replicas": replicas,
            },
        )


def write_state(job: Path, state: dict[str, Any]) -> None:
    """Writes state.json; a full disk must not end a job that may still come to a good end."""
    try:
        jobs.write_json(job / jobs.STATE, state)
    except OSError as error:
        print(f"could not write the state of {job}: {error}", file=sys.stderr, flush=True)


def kill_below(pid: int) -> None:
    """Kills all descendants of pid, also those that are being born meanwhile, and reaps them."""
    for _ in range(50):
        found = list(jobs.descendants(pid))
        if not found:
            return
        for child in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        for child in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)
        time.sleep(0.02)


def _describe_exit(code: int, folder: Path) -> str:
    """How a replica ended, with the first line of the error it left."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    error = jobs.read_json(folder / "error.json").get("message")
    text = error.get("message") if isinstance(error, dict) else error
    first = str(text or "").strip().splitlines()
    return f"{how}: {first[0]}" if first and code else how


def _die_with_parent(number: signal.Signals) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _prepare_replica() -> None:
    """Runs between fork and exec: what the keeper ignores, a replica should not."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _die_with_parent(signal.SIGKILL)


def keep(job: Path, spec: dict[str, Any]) -> None:
    """Starts the supervisor, passes stop requests on to it, and cleans up should it be killed."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    keeper = jobs.identify(os.getpid())
    child = os.fork()
    if child == 0:
        _supervise(job, spec, keeper)
    signal.signal(signal.SIGTERM, lambda *_: _pass_on(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    _, status = os.waitpid(child, 0)
    kill_below(os.getpid())
    state = jobs.read_json(job / jobs.STATE)
    removed = not state and status == 0  # it ended well, and the user has deleted its directory since
    if state.get("state") not in jobs.FINISHED and not removed:
        how = f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "failed, see supervisor.log"
        write_state(job, {**state, "state": "FAILED", "message": f"its supervisor {how}", "updated": time.time()})


def _pass_on(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def _supervise(job: Path, spec: dict[str, Any], keeper: dict[str, Any]) -> None:
    """The child's life; never returns."""
    code = 1
    try:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _die_with_parent(signal.SIGTERM)
        supervisor = Supervisor(job, spec, keeper)
        signal.signal(signal.SIGTERM, supervisor.stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        if os.getppid() != keeper["pid"]:  # it died before this process asked to be told
            supervisor.stops = 1
        supervisor.run()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    """Reads the spec from stdin, where secrets are not at rest, and runs the job in the directory argv names."""
    job = Path(sys.argv[1])
    spec = json.load(sys.stdin)
    keep(job, spec)


if __name__ == "__main__":
    main()
