"""Slurm's own commands: what is asked, and how the answers are read. Only plain text that all versions print alike."""

import getpass
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ._words import SchedulerError

_STATES = {
    "PENDING": "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD",
    "RUNNING": "RUNNING COMPLETING SIGNALING STAGE_OUT STOPPED SUSPENDED RESIZING",
    "SUCCEEDED": "COMPLETED",
    "FAILED": "FAILED TIMEOUT NODE_FAIL OUT_OF_MEMORY BOOT_FAIL DEADLINE",
    "CANCELLED": "CANCELLED REVOKED PREEMPTED",
}
_MEANING = {word: state for state, words in _STATES.items() for word in words.split()}


class Unreachable(SchedulerError):
    """Slurm's commands are not there, or its controller does not answer."""


@dataclass(frozen=True)
class Facts:
    """What Slurm says about a job."""

    state: str  # as TorchX names it
    native: str  # as Slurm names it
    reason: str = ""
    code: int | None = None
    restarts: int = 0
    script: str = ""


def submit(command: Sequence[str]) -> str:
    """Runs sbatch; returns the number of the new job."""
    done = _run(command)
    if done.returncode:
        raise SchedulerError(_last_words(done.stderr) or f"sbatch ended with {done.returncode}")
    number = done.stdout.strip().splitlines()[-1].partition(";")[0] if done.stdout.strip() else ""
    if not number.isdigit():
        raise SchedulerError(f"sbatch answered {done.stdout[:200]!r} instead of a number")
    return number


def facts(number: str) -> Facts | None:
    """What the controller knows of a job, or None if it knows none of this number."""
    done = _run(["scontrol", "-o", "show", "job", number])
    if done.returncode:
        if "Invalid job id" in done.stderr + done.stdout:
            return None
        raise Unreachable(_last_words(done.stderr) or f"scontrol ended with {done.returncode}")
    return parse_facts(done.stdout)


def parse_facts(text: str) -> Facts | None:
    """Reads a line of `scontrol -o show job`."""
    native = _field(text, "JobState")
    if not native:
        return None
    code = re.match(r"(\d+):(\d+)", _field(text, "ExitCode"))
    reason = _field(text, "Reason")
    script = re.search(r" Command=(.*?) WorkDir=", text)
    return Facts(
        state=meaning(native),
        native=native,
        reason="" if reason == "None" else reason,
        code=(128 + int(code[2]) if int(code[2]) else int(code[1])) if code else None,
        restarts=int(_field(text, "Restarts") or 0),
        script=script[1] if script else "",
    )


def accounted(numbers: Sequence[str]) -> dict[str, Facts]:
    """What the accounting remembers; nothing if there is none."""
    if not numbers or shutil.which("sacct") is None:
        return {}
    done = _run(["sacct", "-n", "-P", "-X", "-j", ",".join(numbers), "-o", "JobID,State,ExitCode"])
    found = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        number, _, rest = line.partition("|")
        native, _, code = rest.partition("|")
        native = native.split(" ")[0]  # "CANCELLED by 1000"
        found[number] = Facts(meaning(native), native, code=int(code.split(":")[0] or 0) if code else None)
    return found


def queued() -> dict[str, str]:
    """States, as TorchX names them, of this user's jobs that the controller knows."""
    done = _run(["squeue", "-h", "-t", "all", "-u", getpass.getuser(), "-o", "%i|%T"])
    if done.returncode:
        raise Unreachable(_last_words(done.stderr) or f"squeue ended with {done.returncode}")
    pairs = (line.strip().split("|") for line in done.stdout.splitlines() if "|" in line)
    return {number: meaning(native) for number, native in pairs}


def cancel(number: str) -> None:
    """Removes a job that waits; tells the batch script of one that runs, which lets the replicas save their work."""
    _run(["scancel", "--state=PENDING", number])
    done = _run(["scancel", "--batch", "--signal=TERM", "--state=RUNNING", number])
    if done.returncode and "Invalid job id" not in done.stderr:
        raise SchedulerError(_last_words(done.stderr) or f"scancel ended with {done.returncode}")


def meaning(native: str) -> str:
    """Slurm's word for a state as TorchX's."""
    return _MEANING.get(native.strip().rstrip("+"), "UNKNOWN")


def _field(text: str, name: str) -> str:
    found = re.search(rf"(?:^|\s){name}=(\S*)", text)
    return found[1] if found else ""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=120, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise Unreachable(f"{command[0]} is not installed here; run torchx on a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]} has not answered within 120 s") from None


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[-2:])
