"""Which job a model directory belongs to: what a job has begun it goes on with, however it came to be started again.

Counts of restarts do not tell: a pod that is replaced, or ranks that are started anew because a node has joined, find
them unchanged.
"""

import os
from collections.abc import Mapping
from pathlib import Path

_FILE = ".job"


def begun_by_this_job(model_dir: Path, env: Mapping[str, str] = os.environ) -> bool:
    """Whether the job that runs now, by the name its scheduler gave it, has trained here before."""
    job = env.get("TORCHX_JOB_ID", "")
    try:
        return bool(job) and (model_dir / _FILE).read_text() == job
    except OSError:
        return False


def note_job(model_dir: Path, env: Mapping[str, str] = os.environ) -> None:
    """Writes down which job trains here, if a scheduler has started it."""
    if job := env.get("TORCHX_JOB_ID", ""):
        (model_dir / _FILE).write_text(job)
