"""python -m tzx.apps.validate as a user runs it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIGS = Path(__file__).resolve().parents[1] / "runtime" / "config"
GOOD = CONFIGS / "good" / "dbmtl_sequences.config"
SCREEN = CONFIGS / "screens" / "typos.config"


def validate(*args: object, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-m", "tzx.apps.validate", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_good_config_is_summarized():
    run = validate(GOOD)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"{GOOD}: ok\n  model     DBMTL; ctr: binary_cross_entropy")
    assert "31.82 million embedding parameters" in run.stdout


def test_bad_config_is_one_screen():
    run = validate(SCREEN)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert SCREEN.with_suffix(".txt").read_text().replace("typos.config", str(SCREEN)) in run.stderr


@pytest.mark.parametrize("spelling", ["--config", "--pipeline_config_path"])
def test_config_by_flag(spelling: str):
    assert validate(spelling, GOOD).returncode == 0


def test_overrides():
    run = validate(GOOD, "--set", "train_config.num_stps=10", "--set", "data_config.batch_size=5")
    assert run.returncode == 2
    assert (
        '--set train_config.num_stps=10: TrainConfig has no field "num_stps"; did you mean "num_steps"?' in run.stderr
    )
    run = validate(GOOD, "--edit_config_json", '{"data_config.batch_size": 5}', "--set", "train_config.num_steps=10")
    assert run.returncode == 0
    assert "batches of 5" in run.stdout
    assert "10 steps" in run.stdout
    assert 'warning: "num_steps" takes the place of "num_epochs"' in run.stderr


def test_strict_counts_warnings():
    override = ("--set", "feature_configs[feature_name=user_id].embedding_dim=10")
    assert validate(GOOD, *override).returncode == 0
    assert validate(GOOD, *override, "--strict").returncode == 2


@pytest.mark.parametrize("args", [(), (GOOD, "--config", GOOD), ("nowhere.config",), (GOOD, "--sett", "a=1")])
def test_wrong_use_exits_2_without_traceback(args: tuple):
    run = validate(*args)
    assert run.returncode == 2
    assert run.stderr
    assert "Traceback" not in run.stderr


def test_answers_within_a_second_and_without_torch():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run = validate(GOOD, flags=("-X", "importtime"))
        times.append(time.perf_counter() - start)
        modules = {
            line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")
        }
        assert run.returncode == 0
        assert "tzx.runtime.config.loading" in modules
        assert not modules & {"torch", "torchrec", "fbgemm_gpu", "pyarrow", "numpy"}
    assert min(times) < 1.0
