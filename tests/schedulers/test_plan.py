"""What dry runs say of processes, memory, tables and shards."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torchx.specs import AppDef

from tzx import components
from tzx_schedulers import _plan
from tzx_schedulers.emr import EmrScheduler
from tzx_schedulers.kubernetes import KubernetesScheduler
from tzx_schedulers.local import LocalScheduler
from tzx_schedulers.pai_dlc import DlcScheduler
from tzx_schedulers.slurm import SlurmScheduler

CONFIG = str(Path(__file__).parents[2] / "examples" / "deepfm_movielens.config")
TRAIN: dict[str, Any] = {"config": CONFIG, "j": "2x4", "memMB": 8192, "set": "data_config.batch_size=64"}
BACKENDS = {
    "local_cwd": (LocalScheduler, {}),
    "slurm": (SlurmScheduler, {}),
    "kubernetes": (KubernetesScheduler, {"image": "repo/tzx:1", "namespace": "ml"}),
    "pai_dlc": (DlcScheduler, {"image": "repo/tzx:1", "workspace": "1", "quota": "q"}),
    "emr": (EmrScheduler, {"flavor": "yarn"}),
}


def shown(app: AppDef, backend: str = "slurm") -> str:
    scheduler, cfg = BACKENDS[backend]
    text = str(scheduler("torchx").submit_dryrun(app, cfg))  # type: ignore[arg-type]
    return text.partition("=== PLAN ===\n")[2]


@pytest.fixture
def asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line of the plan app instead of its output."""
    monkeypatch.setattr(_plan, "_output", shlex.join)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_asks_for_the_plan_of_its_processes(backend: str, asked: None) -> None:
    first, second = shown(components.train(**TRAIN), backend).splitlines()
    assert first == "trainer: 2 node(s) x 4 process(es); each node: 8 cores, 0 GPUs, 8192 MB"
    memory = "" if backend == "local_cwd" else " --host-memory-gib=8.0"  # nothing limits what it takes there
    flags = "--set=data_config.batch_size=64 --world-size=8 --local-world-size=4 --device=cpu"
    assert second == f"{sys.executable} -m tzx.apps.plan --config={CONFIG} {flags}{memory}"


def test_a_pipeline_has_the_plan_of_its_training(asked: None) -> None:
    text = shown(components.pipeline(export_dir="out", gpu=8, j="2x8", **{"config": CONFIG}))
    assert "pipeline: 2 node(s) x 8 process(es)" in text
    assert f"--config={CONFIG} --world-size=16 --local-world-size=8 --device=gpu" in text


def test_an_elastic_job_is_planned_at_its_largest(asked: None) -> None:
    text = shown(components.train(config=CONFIG, j="1:3x2"))
    assert "1 to 3 node(s) x 2 process(es)" in text and "--world-size=6" in text


def test_what_does_not_train_has_no_tables(asked: None) -> None:
    assert shown(components.export(config=CONFIG, export_dir="out")).count("\n") == 0


def test_nothing_is_planned_until_somebody_looks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "_output", lambda command: pytest.fail("planned"))
    LocalScheduler("torchx").submit_dryrun(components.train(**TRAIN), {})


def test_a_config_that_is_elsewhere(home: Path) -> None:
    text = shown(components.train(config="oss://bucket/x.config"))
    assert text.endswith("\ntables: not shown, as oss://bucket/x.config cannot be read here")
    text = shown(components.train("--plan", "oss://bucket/plan", config=CONFIG))
    assert text.endswith("\ntables: not shown, as oss://bucket/plan cannot be read here")


def test_a_plan_and_code_of_the_users_own(asked: None, tmp_path: Path) -> None:
    for name in ("plan", "mine.py"):
        (tmp_path / name).touch()
    given = {"config": CONFIG, "user_module": str(tmp_path / "mine.py")}
    text = shown(components.train("--plan", str(tmp_path / "plan"), "--user_module=my.package", **given))
    assert f"--user_module={tmp_path}/mine.py --user_module=my.package" in text
    assert f"--set=train_config.sharding_planner.plan_file={tmp_path}/plan" in text


def test_without_torch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert shown(components.train(**TRAIN)).endswith("\ntables: not shown, as torch is not installed here")


@pytest.mark.parametrize(
    "code, text",
    [
        ("print('user_emb')", "user_emb"),
        ("import sys; sys.exit('error: too large')", "tables: no plan: too large"),
        ("import sys; sys.exit('error: oss://me:hunter2@b')", "tables: no plan: oss://me:***@b"),
    ],
)
def test_what_the_app_says(code: str, text: str) -> None:
    assert _plan._output([sys.executable, "-S", "-c", code]) == text


def test_an_app_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "_SECONDS", 0.1)
    text = _plan._output([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    assert text == "tables: not shown, as planning them takes more than 0.1 s"


@pytest.mark.slow
def test_tables_and_shards_as_torchx_prints_them(home: Path) -> None:
    words = ["run", "-s", "slurm", "--workspace", "", "--dryrun", "tzx.components.train", "--config", CONFIG]
    command = [sys.executable, "-m", "torchx.cli.main", *words, "-j", "2x2"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120)
    text = done.stdout.partition("=== PLAN ===")[2]
    assert done.returncode == 0 and "4 process(es), 2 on a host; 8.0 GiB of host memory" in text, done.stderr
    assert "user_id_emb " in text and "share of its budget" in text
