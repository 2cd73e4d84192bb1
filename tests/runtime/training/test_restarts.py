"""A job that its launcher starts again goes on from its own checkpoint, without being told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.process import restarts


def test_restarts_are_counted_by_whoever_restarts():
    assert restarts({}) == 0
    assert restarts({"TZX_RESTART_COUNT": "2"}) == 2
    assert restarts({"TZX_RESTART_COUNT": "1", "TORCHELASTIC_RESTART_COUNT": "1"}) == 2


def trainer_pid(config: Path) -> int | None:
    """The trainer itself, not torchx or torchrun, which have the same words on their command lines."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = b"tzx.apps.train" in words and b"tzx.apps.torchrun" not in words
        if ours and str(config).encode() in words:
            return int(entry.name)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--max_retries", "1"], ["--max_restarts", "1"]], ids=["scheduler", "torchrun"])
def test_a_trainer_killed_in_the_middle_finishes_the_job(root, config_text, tmp_path, flags):
    config = root / "test.config"
    config.write_text(config_text.replace("num_epochs: 2", "num_steps: 120").replace("steps: 5\n", "steps: 50\n"))
    command = [sys.executable, "-m", "torchx.cli.main", "run", "-s", "local_cwd", "--workspace", ""]
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen(
        [*command, "tzx.components.train", "--config", str(config), *flags], env=env, stderr=subprocess.PIPE, text=True
    )
    while ckpt.latest_checkpoint(root / "run") is None:
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.02)
    os.kill(trainer_pid(config), signal.SIGKILL)
    _, log = job.communicate(timeout=120)
    assert job.returncode == 0, log
    assert "going on from" in log and "Job finished: SUCCEEDED" in log
    assert ckpt.step_of(ckpt.latest_checkpoint(root / "run")) == 120
