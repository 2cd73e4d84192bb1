"""From an AppDef to what sbatch is given: a command line and the files of the job's directory.

Nothing a user wrote is on a command line but the options, each as one word. Arguments are quoted once, in run.sh, and
the environment is in env.sh, which only the user can read. Both are filled in when the job's number is known: a macro
becomes the variable that has its value.
"""

import os
import re
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchx.specs import AppDef, Role, macros

from . import _local_jobs as jobs
from . import _slurm_options as options
from ._words import SchedulerError, plain, quoted, shortened, without_nul, without_references
from .contract import MASTER_ADDR, hidden, masked

_HERE = Path(__file__).parent
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, repr=False)
class SlurmRequest:
    """What will be submitted."""

    job: Path
    command: list[str]
    files: dict[str, str]
    env: dict[str, str]
    spec: dict[str, Any]

    def describe(self) -> str:
        """A text for people, without secrets."""
        parts = [shlex.join(self.command)]
        files = {**self.files, "env.sh": env_file(masked(self.env), [])}
        for name, text in sorted(files.items()):
            parts.append(f"---- {self.job / name}\n{text.rstrip()}")
        return hidden("\n".join(parts))

    def __repr__(self) -> str:
        return self.describe()


@dataclass(frozen=True)
class Marks:
    """Random words that stand for values which are known only on the node."""

    app_id: str
    replica: str

    def quote(self, text: str) -> str:
        """The text as one word of a shell script."""
        return quoted(text, {self.app_id: '"$SLURM_JOB_ID"', self.replica: '"$SLURM_PROCID"'})


def build_request(app: AppDef, session: str, name: str, cfg: Mapping[str, Any]) -> SlurmRequest:
    """Everything but the submission.

    Args:
        app: with one role.
        session: name of the TorchX session.
        name: of the job's directory.
        cfg: resolved options.
    """
    role = app.roles[0]
    root = cfg.get("job_dir")
    job = Path(root).expanduser().absolute() / name if root else state_home() / "jobs" / name
    _check_path(job)
    marks = Marks(f"@{secrets.token_hex(12)}@", f"@{secrets.token_hex(12)}@")
    ready = macros.Values(
        img_root=os.getcwd(), app_id=marks.app_id, replica_id=marks.replica, rank0_env=MASTER_ADDR
    ).apply(role)
    argv = [ready.entrypoint, *ready.args]
    without_nul([*argv, *ready.env.values()], "arguments and environment")
    for variable in ready.env:
        if not _VARIABLE.fullmatch(variable):
            raise SchedulerError(f"env: {shortened(variable)} is no name of an environment variable")
    env = {key: _with_marks(value, marks) for key, value in without_references(ready.env).items()}
    files = {
        "batch.sh": _batch(job, session, role, cfg),
        "run.sh": _run(job, cfg, [marks.quote(word) for word in argv]),
        "stop.sh": f"job={shlex.quote(str(job))}\n{_body('stop')}",
    }
    command = ["sbatch", *_flags(app, job, cfg), str(job / "batch.sh")]
    return SlurmRequest(job, command, files, env, _spec(app, name, session))


class Filled(str):
    """A value with macros in it, already quoted for the shell."""


def _with_marks(value: str, marks: Marks) -> str:
    value = str.__str__(value)
    return Filled(marks.quote(value)) if marks.app_id in value or marks.replica in value else value


def env_file(env: Mapping[str, str], more: list[str]) -> str:
    """A script that sets the variables."""
    lines = [f"export {k}={v if isinstance(v, Filled) else shlex.quote(v)}" for k, v in env.items()]
    return "\n".join([*lines, *more, "true", ""])


def state_home() -> Path:
    """Where this user's Slurm jobs are remembered."""
    return jobs.state_home("slurm")


def _check_path(job: Path) -> None:
    plain(str(job), "job_dir")
    if re.search(r"[%\\]", str(job)):
        raise SchedulerError(f"job_dir: {shortened(str(job))}: Slurm gives % and \\ in a path a meaning")


def _flags(app: AppDef, job: Path, cfg: Mapping[str, Any]) -> list[str]:
    role = app.roles[0]
    nodes = f"{role.min_replicas}-{role.num_replicas}" if role.min_replicas else str(role.num_replicas)
    flags = ["--parsable", f"--job-name={jobs.safe_name(app.name)}", f"--nodes={nodes}"]
    if not role.min_replicas:  # Slurm would take it as a reason to give an elastic job the fewest nodes
        flags.append("--ntasks-per-node=1")
    if role.resource.cpu > 0:
        flags.append(f"--cpus-per-task={int(role.resource.cpu)}")
    if role.resource.memMB > 0 and not cfg.get("nomem"):
        flags.append(f"--mem={int(role.resource.memMB)}M")
    if role.resource.gpu > 0:
        flags.append(f"--gpus-per-node={int(role.resource.gpu)}")
    flags += [f"--output={job / 'batch.log'}", "--open-mode=append", f"--signal=B:USR1@{options.grace_seconds(cfg)}"]
    return [*flags, *options.sbatch_flags(cfg)]


def _batch(job: Path, session: str, role: Role, cfg: Mapping[str, Any]) -> str:
    srun = ["srun", "--kill-on-bad-exit=0", "--wait=0"]
    if role.resource.cpu > 0:  # srun does not take it over from sbatch any more
        srun.append(f"--cpus-per-task={int(role.resource.cpu)}")
    srun += options.container_flags(cfg, role, job)
    return "\n".join(
        [
            "#!/bin/bash",
            f"job={shlex.quote(str(job))}",
            f"session={shlex.quote(plain(session, 'session'))}",
            f"max_retries={int(role.max_retries)}",
            f"grace={options.grace_seconds(cfg)}",
            f"modules=({shlex.join(options.modules(cfg))})",
            f"srun=({shlex.join(srun)})",
            _body("batch"),
        ]
    )


def _run(job: Path, cfg: Mapping[str, Any], argv: list[str]) -> str:
    bin_ = "" if cfg.get("container_image") else os.path.dirname(sys.executable)
    return "\n".join(
        [
            "#!/bin/bash",
            f"job={shlex.quote(str(job))}",
            f"bin={shlex.quote(plain(bin_, 'PATH'))}",
            f"cwd={shlex.quote(plain(os.getcwd(), 'working directory'))}",
            f"command=({' '.join(argv)})",
            _body("run"),
        ]
    )


def _body(name: str) -> str:
    return (_HERE / f"_slurm_{name}.sh").read_text()


def _spec(app: AppDef, name: str, session: str) -> dict[str, Any]:
    """What is remembered of the job; no secret is in it."""
    role = app.roles[0]
    return {
        "app": app.name,
        "name": name,
        "session": session,
        "role": {
            "name": role.name,
            "image": role.image,
            "entrypoint": role.entrypoint,
            "args": list(role.args),
            "env": masked(role.env),
            "num_replicas": role.num_replicas,
            "min_replicas": role.min_replicas,
            "max_retries": role.max_retries,
            "resource": {"cpu": role.resource.cpu, "gpu": role.resource.gpu, "memMB": role.resource.memMB},
        },
    }
