"""slurm: stand-ins of sbatch, srun and scontrol, which run the scripts they are given."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torchx.specs import AppDef

from tzx_schedulers import _slurm_jobs as jobs
from tzx_schedulers.slurm import SlurmScheduler

from . import Backend, Outcome

PROGRAMS = {
    "sbatch": """#!/bin/bash
printf '%s\\0' "$@" >"$STUBS/sbatch.argv"
[ ! -e "$STUBS/refuse" ] || { echo "sbatch: error: invalid partition specified: x" >&2; exit 1; }
echo 41
""",
    "srun": """#!/bin/bash
while [ "$1" != bash ]; do shift; done
SLURM_PROCID=0 SLURMD_NODENAME=here exec "$@"
""",
    "scontrol": """#!/bin/bash
if [ "$2" = hostnames ]; then echo here; exit; fi
cat "$STUBS/facts" 2>/dev/null || { echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }
""",
}


class Stubs:
    """Programs named like Slurm's, first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sbatch_argv(self) -> list[str]:
        """What sbatch was given last."""
        return [os.fsdecode(word) for word in (self.folder / "sbatch.argv").read_bytes().split(b"\0")[:-1]]

    def run(self, job: Path) -> subprocess.CompletedProcess[bytes]:
        """What slurmd would do."""
        env = {**os.environ, "SLURM_JOB_ID": "41", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "here"}
        return subprocess.run(["bash", str(job / "batch.sh")], env=env, capture_output=True, timeout=60)


def make(request: pytest.FixtureRequest) -> Backend:
    """On a private state directory."""
    stubs = request.getfixturevalue("stubs")
    scheduler = SlurmScheduler("torchx")

    def run(app: AppDef, cfg: Mapping[str, Any]) -> Outcome:
        scheduler.schedule(scheduler.submit_dryrun(app, dict(cfg)))
        job = (jobs.state_home() / "index" / "41").resolve()
        # env.sh can be read by the user alone, and is gone when the job has ended.
        scripts = "".join(path.read_text() for path in job.iterdir() if path.is_file() and path.name != "env.sh")
        sent = "\0".join(stubs.sbatch_argv()) + scripts
        done = stubs.run(job)
        kept = "".join(path.read_text(errors="replace") for path in job.rglob("*") if path.is_file())
        assert not (job / "env.sh").exists()
        log = (job / "replicas" / "0" / "combined.log").read_text(errors="replace")
        return Outcome(log, sent + kept, "FAILED" if done.returncode else "SUCCEEDED")

    return Backend(scheduler, run, words=lambda made: set(made.command))
