"""One training at a time per model directory: a lock file that says whose it is.

The owner refreshes it. A lock whose owner is known to be dead is taken over at once; one from another host, where
nobody can look for the process, when it has not been refreshed for a while. Clocks are never compared.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tzx.runtime.errors import UserError
from tzx.runtime.training.process import restarts
from tzx.runtime.training.storage import is_local, make_directory, write_file

logger = logging.getLogger("tzx")

NAME = "TRAINING"
_JOB_NAMES = ("TORCHX_JOB_ID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")
_REFRESH_SECONDS = 10.0
_STALE_SECONDS = 60.0


@dataclass(frozen=True)
class Owner:
    """A process: where it runs, which it is (its start in clock ticks since boot), and for what job."""

    host: str
    pid: int
    ticks: int
    job: str
    start: str

    @staticmethod
    def here(env: Mapping[str, str] = os.environ) -> "Owner":
        """This process."""
        job = next((env[name] for name in _JOB_NAMES if env.get(name)), "")
        start = time.strftime("%Y-%m-%d %H:%M:%S")
        return Owner(socket.gethostname(), os.getpid(), _ticks(os.getpid()) or 0, job, start)

    def is_dead(self, here: "Owner") -> bool:
        """Whether `here` can tell that this process has ended."""
        if self.job and self.job == here.job and restarts() > 0:
            return True  # its launcher has started it again
        return self.host == here.host and _ticks(self.pid) != self.ticks

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}, started {self.start}"


class Lock:
    """The lock of one model directory, held by this process."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path, self._owner = path, owner
        self._text = json.dumps(asdict(owner)) + "\n"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="tzx-lock", daemon=True)

    def take(self) -> None:
        """Take the lock.

        Raises:
            UserError: another process has it and lives.
        """
        make_directory(self._path.parent)
        while not self._create():
            other = _read(self._path)
            if other is None:
                continue  # released meanwhile
            if other.is_dead(self._owner):
                logger.warning("%s: taking over from %s, which has ended", self._path, other)
            elif other.host == self._owner.host or _is_refreshed(self._path):
                raise UserError(
                    f"{self._path.parent} is in use by {other}; wait for it, stop it, or choose another --model_dir"
                )
            else:
                seconds = int(_STALE_SECONDS)
                logger.warning("%s: taking over from %s, silent for %d s", self._path, other, seconds)
            self._path.unlink(missing_ok=True)
        self._thread.start()

    def check(self) -> None:
        """Raise UserError if another process has taken this lock over."""
        other = _read(self._path)
        if other != self._owner:
            raise UserError(f"{self._path.parent} has been taken over by {other or 'nobody known'}; leaving it alone")

    def release(self) -> None:
        """Give the lock back."""
        self._stop.set()
        self._thread.join()
        if _read(self._path) == self._owner:
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        if not is_local(self._path):  # no store of objects promises to create only what is not there
            return not self._path.exists() and bool(write_file(self._path, self._text))
        own = self._path.with_name(f"{NAME}.{self._owner.host}.{self._owner.pid}")
        own.write_text(self._text)
        try:
            os.link(own, self._path)
            return True
        except FileExistsError:
            return False
        finally:
            own.unlink()

    def _refresh(self) -> None:
        while not self._stop.wait(_REFRESH_SECONDS):
            with contextlib.suppress(OSError, UserError):  # a missed one is no harm
                self.check()
                if is_local(self._path):
                    os.utime(self._path)
                else:
                    write_file(self._path, self._text)


@contextlib.contextmanager
def locked(model_dir: Path) -> Iterator[Lock]:
    """Hold the lock of a model directory."""
    lock = Lock(model_dir / NAME, Owner.here())
    lock.take()
    try:
        yield lock
    finally:
        lock.release()


def _read(path: Path) -> Owner | None:
    try:
        return Owner(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Owner("an unknown host", 0, 0, "", "at an unknown time")


def _is_refreshed(path: Path) -> bool:
    """Wait until the lock is refreshed (or given back), or has not been for too long."""
    before, end = _version(path), time.monotonic() + _STALE_SECONDS
    while time.monotonic() < end:
        time.sleep(0.2)
        if _version(path) != before:
            return path.exists()
    return False


def _version(path: Path) -> object:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _ticks(pid: int) -> int | None:
    """When a process started, or None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    except OSError:
        pass
    try:
        os.kill(pid, 0)  # no /proc: it lives, but may be another one with the same number
        return 0
    except PermissionError:
        return 0
    except OSError:
        return None
