"""From an AppDef to a Spark job: the driver's one argument, and what spark-submit is told.

Everything a user wrote for the job's program travels in that argument, as base64 of JSON: neither a shell nor YARN,
which replaces {{...}} in command lines, finds anything in it to act on.
"""

import base64
import hashlib
import json
import os
import secrets
import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchx.specs import AppDef, Role, macros

from . import _emr_options as options
from ._remote_jobs import tag_value
from ._words import SchedulerError, by_reference, plain, shortened
from .contract import MASTER_ADDR, NEVER_RETRIED, masked

DRIVER = Path(__file__).parent / "_emr_driver.py"
GPUS = Path(__file__).parent / "_emr_gpus.sh"
_LONGEST = 100_000  # the kernel takes 131,072 bytes for one argument


@dataclass(frozen=True)
class SparkRequest:
    """What will be submitted."""

    name: str
    flavor: str
    job: dict[str, Any]
    properties: dict[str, str]
    tags: dict[str, str]
    cfg: dict[str, Any] = field(repr=False)

    @property
    def argument(self) -> str:
        """The job in the form that the driver decodes."""
        return base64.urlsafe_b64encode(zlib.compress(json.dumps(self.job).encode())).decode()

    def submit_words(self) -> list[str]:
        """What spark-submit is told apart from the program and how to reach the cluster."""
        files = [word for word in options.word(self.cfg, "files").split(",") if word]
        archives = options.word(self.cfg, "archives")
        words = [f"--name={self.name}"]
        words += [word for key, value in self.properties.items() for word in ("--conf", f"{key}={value}")]
        words += [f"--archives={archives}"] if archives else []
        return [*words, *([f"--files={','.join(files)}"] if files else [])]

    def describe(self) -> str:
        """The job as a text for people, without secrets."""
        job = {**self.job, "env": masked(self.job["env"])}
        lines = [f"command on each of {job['nodes']} nodes:", f"  {shlex.join(job['argv'])}"]
        lines += [f"    {name}={value}" for name, value in sorted(job["env"].items())]
        lines += [f"    {name}=<text of {path}>" for name, path in sorted(job["secrets"].items())]
        lines.append(f"retries: {job['retries']}, never after {', '.join(map(str, job['final']))}")
        return "\n".join(lines).replace(job["replica"], "${replica_id}")


def build_request(app: AppDef, session: str, name: str, cfg: Mapping[str, Any]) -> SparkRequest:
    """Everything but the submission.

    Args:
        app: with one role.
        session: name of the TorchX session.
        name: a unique one for the job.
        cfg: resolved options.
    """
    role = app.roles[0]
    flavor = options.flavor(cfg)
    job = _job(role, plain(session, "session"), name, cfg)
    tags = {"tzx": "job", "tzx-name": name, "tzx-role": tag_value(role.name), "tzx-nodes": str(role.num_replicas)}
    found = SparkRequest(name, flavor, job, options.properties(role, cfg), tags, dict(cfg))
    size = len(found.argument)
    if size > _LONGEST:
        largest = max([*job["argv"], *job["env"].values()], key=len)
        raise SchedulerError(
            f"arguments and variables of the job take {size:,} bytes, {_LONGEST:,} are allowed; the largest, of "
            f"{len(largest):,}, is {shortened(largest)}"
        )
    return found


def _job(role: Role, session: str, name: str, cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What the driver is told."""
    mark = f"@{secrets.token_hex(12)}@"
    ready = macros.Values(img_root=".", app_id=name, replica_id=mark, rank0_env=MASTER_ADDR).apply(role)
    argv = [ready.entrypoint, *ready.args]
    env, files = by_reference({"TORCHX_JOB_ID": f"emr://{session}/{name}", **ready.env}, argv)
    cwd = options.word(cfg, "cwd")
    if cwd and not os.path.isabs(cwd):
        raise SchedulerError(f"cwd={shortened(cwd)}: must be an absolute path on the nodes")
    return {
        "name": name,
        "nodes": role.num_replicas,
        "argv": argv,
        "env": env,
        "secrets": files,
        "replica": mark,
        "retries": int(role.max_retries),
        "final": sorted(NEVER_RETRIED),
        "grace": options.grace_seconds(cfg),
        "cwd": cwd,
    }


def staged(directory: str, file: Path, upload: bool = False) -> str:
    """Address of a file in the directory that the service reads; its name changes with its text."""
    text = file.read_bytes()
    address = f"{directory.rstrip('/')}/{file.stem.strip('_')}-{hashlib.sha256(text).hexdigest()[:12]}{file.suffix}"
    if upload:
        import fsspec

        try:
            with fsspec.open(address, "wb") as target:
                target.write(text)
        except (OSError, ValueError, ImportError) as error:
            raise SchedulerError(f"staging={directory}: {error}") from None
    return address


def start_job_run(request: SparkRequest, body: Mapping[str, Any]) -> str:
    """What a service for Spark jobs is sent, as a text for people."""
    return "StartJobRun " + json.dumps(body, indent=2).replace(request.argument, "JOB")
