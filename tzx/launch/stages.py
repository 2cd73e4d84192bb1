"""Several apps one after the other in one job: how they are written on a command line, and how they are run.

Every node runs all stages; one for the first node only is marked with @0. The nodes need no other agreement: a stage
that needs them all begins with a rendezvous, and waits there for the node that still has work of its own to do.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tzx.runtime.errors import UserError

_PATIENCE = "86400"  # seconds a node waits for the others, which may be exporting or scoring


@dataclass(frozen=True)
class Stage:
    """One app of several, and whether only the first node runs it."""

    name: str
    argv: tuple[str, ...]  # of python
    first_only: bool = False

    def flag(self) -> str:
        """The stage as one word of a command line."""
        return f"{self.name}{'@0' if self.first_only else ''}={shlex.join(self.argv)}"


def parse_stage(text: str) -> Stage:
    """Reads what `flag` has written."""
    name, equals, command = text.partition("=")
    if not equals or not name:
        raise UserError(f"--stage {text}: expected NAME=ARGUMENTS")
    try:
        return Stage(name.removesuffix("@0"), tuple(shlex.split(command)), name.endswith("@0"))
    except ValueError as error:
        raise UserError(f"--stage {text}: {error}") from None


def run_stages(stages: Sequence[Stage], record: Path, env: Mapping[str, str] = os.environ) -> int:
    """Runs one stage after the other and returns the first exit code that is not 0.

    Args:
        stages: in order.
        record: file that remembers which stages of this job are done, so that a restarted job goes on after them; on a
            file system that all nodes see.
        env: what the scheduler says.
    """
    job = env.get("TORCHX_JOB_ID", "")
    first = env.get("TORCHX_REPLICA_IDX", "0") == "0"
    done = _done(record, job)
    for number, stage in enumerate(stages):
        if stage.name in done or (stage.first_only and not first):
            continue
        print(f"stage {number + 1} of {len(stages)}: {stage.name}", file=sys.stderr, flush=True)
        code = _run(stage, {**env, **_own(number, stage, env)})
        if code:
            print(f"error: stage {stage.name} ended with {code}", file=sys.stderr, flush=True)
            return code
        done.append(stage.name)
        if first and job:
            _write(record, job, done)
    return 0


def _own(number: int, stage: Stage, env: Mapping[str, str]) -> dict[str, str]:
    """A meeting point for each stage, so that nobody meets the remains of the one before."""
    run = env.get("TZX_RUN_ID") or f"{env.get('TORCHX_JOB_ID', 'tzx')}-{env.get('TZX_RESTART_COUNT', '0')}"
    port = int(env.get("TZX_MASTER_PORT", "29500")) + number
    run = f"{run.rpartition('/')[2]}-{stage.name}"
    return {"TZX_RUN_ID": run, "TZX_MASTER_PORT": str(port), "TZX_PATIENCE": _PATIENCE}


def _run(stage: Stage, env: Mapping[str, str]) -> int:
    """Runs a stage as a child that is told of every signal this process gets."""
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def tell(number: int, _: FrameType | None) -> None:
        for process in started:
            process.send_signal(number)
        if not started:
            early.append(number)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        started.append(subprocess.Popen([sys.executable, *stage.argv], env=env))
        for number in early:
            started[0].send_signal(number)
        code = started[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _done(record: Path, job: str) -> list[str]:
    try:
        found = json.loads(record.read_text())
    except (OSError, ValueError):
        return []
    return [str(name) for name in found["done"]] if job and found.get("job") == job else []


def _write(record: Path, job: str, done: Sequence[str]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    temporary = record.with_name(f".{record.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"job": job, "done": list(done)}))
    os.replace(temporary, record)
