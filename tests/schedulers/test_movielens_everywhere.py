"""The MovieLens example by the same command on this machine, on a real Slurm and on real Spark."""

import re
import sys
from pathlib import Path

import pytest
from loopback_yarn import LoopbackYarn
from movielens_job import metrics

pytestmark = [pytest.mark.backend, pytest.mark.slow]


def test_one_command_gives_the_same_metrics_on_three_schedulers(
    home: Path, slurm_conf: Path, yarn: LoopbackYarn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    spark = {
        "flavor": "yarn",
        "resourcemanager": yarn.address,
        "spark_submit": yarn.spark_submit,
        "python": sys.executable,
        "cwd": home / "emr",
    }
    options = {"local_cwd": "", "slurm": "", "emr": "\n".join(f"{name} = {value}" for name, value in spark.items())}
    found = {name: metrics(name, home / name, text) for name, text in options.items()}
    assert re.fullmatch(r"step \d+  auc 0\.7\d+ .*", found["local_cwd"])
    assert found["slurm"] == found["emr"] == found["local_cwd"]
