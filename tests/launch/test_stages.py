"""Several apps in one job: order, exit codes, going on after a restart, and what each stage is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tzx.launch.stages import Stage, parse_stage, run_stages
from tzx.runtime.errors import UserError

ENV = {"TORCHX_JOB_ID": "kubernetes://torchx/ml:job-1", "PATH": os.environ["PATH"]}


def say(path: Path, code: int = 0) -> tuple[str, ...]:
    """A program that notes its meeting point and ends with a code."""
    names = "TZX_RUN_ID", "TZX_MASTER_PORT"
    script = f"import os,sys; print(*(os.environ[k] for k in {names}), file=open({str(path)!r}, 'a')); sys.exit({code})"
    return "-S", "-c", script


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))), st.booleans())
def test_a_stage_is_one_word(argv: list[str], first_only: bool) -> None:
    stage = Stage("train", tuple(argv), first_only)
    assert parse_stage(stage.flag()) == stage


@pytest.mark.parametrize("text", ["train", "=x", "train='x"])
def test_what_is_no_stage(text: str) -> None:
    with pytest.raises(UserError, match="--stage"):
        parse_stage(text)


def test_stages_run_in_order_until_one_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen = tmp_path / "seen"
    stages = [Stage("train", say(seen)), Stage("eval", say(seen, 65)), Stage("export", say(seen))]
    env = {**ENV, "TZX_MASTER_PORT": "21000", "TZX_RESTART_COUNT": "2"}
    assert run_stages(stages, tmp_path / "record", env) == 65
    assert seen.read_text().splitlines() == ["ml:job-1-2-train 21000", "ml:job-1-2-eval 21001"]
    err = capfd.readouterr().err
    assert "stage 1 of 3: train" in err and "error: stage eval ended with 65" in err


def test_a_restarted_job_goes_on_after_what_is_done(tmp_path: Path) -> None:
    seen, record = tmp_path / "seen", tmp_path / "new" / "record"
    assert run_stages([Stage("train", say(seen)), Stage("eval", say(seen, 75))], record, ENV) == 75
    assert json.loads(record.read_text()) == {"job": ENV["TORCHX_JOB_ID"], "done": ["train"]}
    assert run_stages([Stage("train", say(seen)), Stage("eval", say(seen))], record, ENV) == 0
    assert [line.split()[0].rpartition("-")[2] for line in seen.read_text().splitlines()] == ["train", "eval", "eval"]
    other = {**ENV, "TORCHX_JOB_ID": "kubernetes://torchx/ml:job-2"}
    assert run_stages([Stage("train", say(seen))], record, other) == 0
    assert len(seen.read_text().splitlines()) == 4


def test_what_the_first_node_does_alone(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    stages = [Stage("train", say(seen)), Stage("export", say(seen), first_only=True)]
    assert run_stages(stages, tmp_path / "record", {**ENV, "TORCHX_REPLICA_IDX": "1", "TZX_RUN_ID": "r"}) == 0
    assert [line.split()[0] for line in seen.read_text().splitlines()] == ["r-train"]
    assert not (tmp_path / "record").exists()


def test_a_stage_is_told_of_sigterm(tmp_path: Path) -> None:
    child = (
        "import signal,sys,time; signal.signal(15, lambda *_: sys.exit(143)); print('up', flush=True); time.sleep(99)"
    )
    flag = Stage("train", ("-S", "-c", child)).flag()
    words = [sys.executable, "-m", "tzx.apps.pipeline", "--stage", flag, "--record", str(tmp_path / "record")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.wait(30) == 143 and time.monotonic() - began < 20
    process.stdout.close()


def test_a_killed_stage_says_so(tmp_path: Path) -> None:
    stages = [Stage("train", ("-S", "-c", "import os; os.kill(os.getpid(), 9)"))]
    assert run_stages(stages, tmp_path / "record", ENV) == 137
