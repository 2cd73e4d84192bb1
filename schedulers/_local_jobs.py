"""Where local jobs are remembered: one directory per job, found again by any process of the same user.

<state home>/tzx/local_cwd/<app_id>            a directory, or a link to <log_dir>/<session>/<app_id>
    spec.json       what was asked for, secrets masked
    state.json      what became of it, replaced atomically
    supervisor.log  what went wrong in the supervisor itself
    <role>/<replica>/{stdout,stderr,combined}.log, times, error.json
"""

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_TIMEOUT = 30.0  # seconds a new job's supervisor may take to report
SPEC, STATE = "spec.json", "state.json"
FINISHED = ("SUCCEEDED", "FAILED", "CANCELLED")
_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def state_home(backend: str) -> Path:
    """Where this user's jobs of a backend are remembered; home directories are what the nodes of a cluster share."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(home, "tzx", backend).absolute()


def default_root() -> Path:
    """The index of this user's local jobs, made if it is not there yet."""
    home = state_home("local_cwd")
    for root in (home, Path(tempfile.gettempdir(), f"tzx-{os.getuid()}", "tzx", "local_cwd")):
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(root, os.W_OK):
            return root
    raise PermissionError(f"neither {home} nor {tempfile.gettempdir()} can be written to; set XDG_STATE_HOME")


def create(app_id: str, log_dir: str | None, session: str) -> Path:
    """Makes the directory of a new job; with a log_dir it lies there and the index links to it."""
    entry = default_root() / app_id
    if log_dir is None:
        entry.mkdir(mode=0o700)
        return entry
    job = Path(log_dir).expanduser().absolute() / session / app_id
    job.parent.mkdir(parents=True, exist_ok=True)
    job.mkdir(mode=0o700)
    entry.symlink_to(job)
    return job


def find(app_id: str) -> Path | None:
    """The directory of a job, or None if there is no such job (any more)."""
    if not _APP_ID.fullmatch(app_id):
        return None
    entry = default_root() / app_id
    return entry.resolve() if (entry / SPEC).is_file() else None


def app_ids() -> list[str]:
    """All remembered jobs, oldest first; links whose target is gone are dropped from the index."""
    found = []
    for entry in default_root().iterdir():
        spec = entry / SPEC
        with contextlib.suppress(OSError):
            if entry.is_symlink() and not entry.exists():
                entry.unlink()
            elif spec.is_file():
                found.append((spec.stat().st_mtime, entry.name))
    return [name for _, name in sorted(found)]


def forget(app_id: str) -> None:
    """Removes a job from the index, with its logs unless those lie in a log_dir of the user's."""
    entry = default_root() / app_id
    if entry.is_symlink():
        entry.unlink(missing_ok=True)
    else:
        shutil.rmtree(entry, ignore_errors=True)


def prune(keep: int) -> None:
    """Forgets the oldest finished jobs beyond the newest `keep`."""
    for app_id in app_ids()[:-keep]:
        job = find(app_id)
        if job is not None and read_json(job / STATE).get("state") in FINISHED:
            forget(app_id)


def folder_name(role: str) -> str:
    """A role's name as one path component, whatever characters it has."""
    quoted = urllib.parse.quote(role, safe=" +@=,")
    return quoted.replace(".", "%2E") if set(quoted) == {"."} else quoted or "%"


def safe_name(text: str) -> str:
    """An application's name reduced to what fits in a handle, a path and a host name."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")[:48].rstrip("-") or "job"


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file, or an empty one if the file is missing or torn."""
    try:
        loaded = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replaces the file in one step; readers see the old or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(value, file, indent=1)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def current_state(job: Path) -> dict[str, Any]:
    """The written state, corrected if nobody is left to write the next one."""
    path = job / STATE
    state = read_json(path)
    if state.get("state") in FINISHED or _looked_after(job, state):
        return state
    state = read_json(path)  # it may have ended between the first look and the check
    if state.get("state") in FINISHED:
        return state
    message = "its supervisor is gone: killed, or the machine was restarted"
    return {**state, "state": "FAILED", "message": message}


def _looked_after(job: Path, state: dict[str, Any]) -> bool:
    if state.get("state") == "SUBMITTED":
        return time.time() - float(state.get("updated", 0)) < START_TIMEOUT
    if read_json(job / SPEC).get("hostname") != socket.gethostname():
        return "state" in state  # a shared home directory: processes of another machine cannot be seen
    return is_alive(state.get("keeper")) or is_alive(state.get("supervisor"))


# ---- processes: a pid alone may belong to someone else by now, a pid with its start time may not


def identify(pid: int) -> dict[str, Any]:
    """What is needed to recognise a running process later, also from another process and after a reboot."""
    return {"pid": pid, "start": _start_time(pid), "boot": _boot_id()}


def is_alive(process: dict[str, Any] | None) -> bool:
    """Whether the identified process still runs; one that only waits to be reaped does not."""
    if not process or process.get("boot") != _boot_id():
        return False
    start = _start_time(int(process["pid"]))
    return start is not None and start == process.get("start")


def descendants(pid: int) -> Iterator[int]:
    """All living processes below pid, those of foreign sessions too."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields and fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(name))
    pending = list(children.get(pid, ()))
    while pending:
        found = pending.pop()
        yield found
        pending.extend(children.get(found, ()))


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the third on: state, parent, ..."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _start_time(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
