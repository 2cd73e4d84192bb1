"""Where Slurm jobs are remembered, and what has become of them, with Slurm's help as long as it remembers them too.

<state home>/tzx/slurm/index/<number>      a link to the job's directory
<state home>/tzx/slurm/jobs/<name>, or <job_dir>/<name>
    batch.sh, run.sh, stop.sh   what runs
    env.sh                      the job's environment, readable by the user alone, removed at its end
    spec.json                   what was asked for, secrets masked
    exit.json                   how it ended, written by the batch script
    cancelled                   there if somebody has cancelled it
    batch.log                   what the batch script and srun had to say
    nodes                       names of the nodes, in the order of the replicas
    replicas/<number>/{stdout,stderr,combined}.log, exit, error.json
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _slurm_client as client
from ._local_jobs import FINISHED, SPEC, read_json, write_json
from ._slurm_script import SlurmRequest, env_file, state_home

EXIT, CANCELLED = "exit.json", "cancelled"


@dataclass(frozen=True)
class Outcome:
    """State of a job and what is known about it."""

    state: str
    message: str = ""
    code: int | None = None
    restarts: int = 0
    replica: int | None = None
    ended: float | None = None
    record: dict[str, Any] = field(default_factory=dict)


def write(request: SlurmRequest) -> None:
    """Makes the job's directory; what holds values of variables can be read by the user alone."""
    request.job.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    request.job.mkdir(mode=0o700)
    for name, text in {**request.files, "env.sh": env_file(request.env, [])}.items():
        descriptor = os.open(request.job / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(text))
    write_json(request.job / SPEC, request.spec)


def remember(number: str, job: Path) -> None:
    """Enters a job into the index; a number that a cluster gives again means the newer job."""
    index = state_home() / "index"
    index.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = index / f".{number}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(job)
    temporary.replace(index / number)


def forget(number: str) -> None:
    """Takes a job out of the index."""
    (state_home() / "index" / number).unlink(missing_ok=True)


def known() -> list[str]:
    """Numbers of the remembered jobs, oldest first."""
    index = state_home() / "index"
    names = [entry.name for entry in index.iterdir() if entry.name.isdigit()] if index.is_dir() else []
    return sorted((name for name in names if (index / name / SPEC).is_file()), key=int)


def find(number: str) -> Path | None:
    """The directory of a job, if it is one of tzx; also when another home directory's index has it."""
    if not (number.isascii() and number.isdigit()):
        return None
    entry = state_home() / "index" / number
    if (entry / SPEC).is_file():
        return entry.resolve()
    try:
        facts = client.facts(number)
    except client.Unreachable:
        return None
    job = Path(facts.script).parent if facts and facts.script.endswith("/batch.sh") else None
    return job if job and (job / SPEC).is_file() else None


def outcome(number: str, job: Path | None) -> Outcome | None:
    """What Slurm says, then what the job has written, then what the accounting says; None if nobody knows it."""
    record = read_json(job / EXIT) if job else {}
    unreachable = ""
    try:
        facts = client.facts(number)
    except client.Unreachable as error:
        facts, unreachable = None, str(error)
    if facts and facts.state not in FINISHED:
        # The last moments of a job belong to Slurm's own cleaning up.
        return _from_record(record) if record and facts.native == "COMPLETING" else _from_facts(facts)
    if record:
        return _from_record(record)
    facts = facts or (None if unreachable else client.accounted([number]).get(number))
    if facts:
        found = _from_facts(facts)
        if found.state == "FAILED" and job and (job / CANCELLED).exists():
            found = Outcome("CANCELLED", "cancelled", found.code, found.restarts)  # before it could say so itself
        return _kept(found, job)
    if unreachable:
        return Outcome("UNKNOWN", f"Slurm cannot be asked: {unreachable}") if job else None
    return Outcome("FAILED", "Slurm has forgotten it, and it was ended before it could say how") if job else None


def listed_states(numbers: list[str]) -> dict[str, str]:
    """States of many jobs, with as few questions to Slurm as possible."""
    try:
        states = client.queued()
        reachable = True
    except client.Unreachable:
        states, reachable = {}, False
    missing = []
    for number in numbers:
        record = read_json(state_home() / "index" / number / EXIT)
        if record and states.get(number, "FAILED") in FINISHED:
            states[number] = record["state"]
        elif number not in states:
            missing.append(number)
    found = client.accounted(missing) if reachable else {}
    for number in missing:
        states[number] = found[number].state if number in found else "FAILED" if reachable else "UNKNOWN"
    return {number: states[number] for number in numbers}


def _from_facts(facts: client.Facts) -> Outcome:
    plain = {"RUNNING": "", "COMPLETED": "", "PENDING": facts.reason and f"waiting: {facts.reason}"}
    message = plain.get(facts.native, f"{facts.native}{f' ({facts.reason})' if facts.reason else ''}")
    return Outcome(facts.state, message, facts.code, facts.restarts)


def _from_record(record: dict[str, Any]) -> Outcome:
    state, code, replica = record["state"], record.get("code"), record.get("replica")
    who = "the job" if replica is None else f"replica {replica}"
    message = record.get("message") or (f"{who} exited with {code}" if state == "FAILED" else "")
    if state == "CANCELLED":
        message = message or "cancelled"
    elif record.get("stopped") == "time" and state == "FAILED":
        message = f"stopped shortly before its time limit; {message}"
    return Outcome(state, message, code, record.get("restarts", 0), replica, record.get("ended"), record)


def _kept(found: Outcome, job: Path | None) -> Outcome:
    """Writes down what Slurm will have forgotten soon."""
    if job is not None and os.access(job, os.W_OK):
        record = {"state": found.state, "code": found.code, "message": found.message, "restarts": found.restarts}
        write_json(job / EXIT, {**record, "ended": time.time()})  # env.sh stays: Slurm may start the job again
    return found
