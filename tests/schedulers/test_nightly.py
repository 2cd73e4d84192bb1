"""The same components and schedulers under torchx-nightly, in an environment of their own without torch.

torchx and torchx-nightly provide the same module and cannot be installed together.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-nightly"
CONFIG = "examples/deepfm_movielens.config"
PACKAGES = ("torchx-nightly", "protobuf", "pytest", "hypothesis", "setuptools", "wheel", "kubernetes")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nightly() -> Path:
    """The `bin` of an environment with torchx-nightly, made once and kept."""
    bin_ = FOLDER / "bin"
    wanted = hashlib.sha256((ROOT / "setup.cfg").read_bytes() + (ROOT / "setup.py").read_bytes()).hexdigest()
    stamp = FOLDER / "ready"
    if not stamp.is_file() or stamp.read_text() != wanted:
        venv.create(FOLDER, with_pip=True)
        pip = [str(bin_ / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True, timeout=600)
        if done.returncode:
            pytest.skip(f"NOT TESTED WITH torchx-nightly: it cannot be installed here: {done.stderr.strip()[-300:]}")
        # Without dependencies: torchx itself is one, under its other name.
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True, timeout=600)
        stamp.write_text(wanted)
    return bin_


def run(nightly: Path, *words: str, tmp: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp), "HOME": str(tmp), "COLUMNS": "200"}
    command = [str(nightly / words[0]), *words[1:]]
    return subprocess.run(command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=300)


def test_it_is_nightly_and_has_no_torch(nightly: Path, tmp_path: Path) -> None:
    listed = run(nightly, "python", "-m", "pip", "list", "--format", "json", tmp=tmp_path).stdout
    names = {package["name"].lower() for package in json.loads(listed)}
    assert "torchx-nightly" in names and "tzx" in names and not names & {"torch", "torchx", "torchrec"}


def test_components_are_found(nightly: Path, tmp_path: Path) -> None:
    listed = run(nightly, "torchx", "builtins", tmp=tmp_path).stdout
    for name in ("train", "eval", "export", "predict"):
        assert f"tzx.components.{name}\n" in listed
    assert "dist.ddp\n" in listed and "utils.echo\n" in listed


COMMANDS = {
    "train": [
        "--config",
        CONFIG,
        "-j",
        "2x2",
        "--env",
        "MY_TOKEN=hunter2",
        "--set",
        "model_dir=m",
        "--",
        "--seed",
        "1",
    ],
    "eval": ["--config", CONFIG, "--cpu", "4"],
    "export": ["--config", CONFIG, "--export_dir", "out"],
    "generate_features": ["--config", CONFIG, "--output_path", "features"],
    "pipeline": ["--config", CONFIG, "--export_dir", "out", "-j", "2x1"],
    "predict": ["--bundle", "out", "--predict_input_path", "a", "--predict_output_path", "b", "-j", "1x2"],
}
# Options that a scheduler cannot do without, and a word of its requests.
SCHEDULERS = {
    "local_cwd": ("grace_seconds=30", "log dir:"),
    "slurm": ("grace_seconds=30", "sbatch"),
    "kubernetes": ("image=repo/tzx:1", "kind: Job"),
    "pai_dlc": ("workspace=1,quota=q,image=repo/tzx:1", "CreateJob"),
    "emr": ("flavor=yarn", "spark-submit"),
}
CLOUDS = ("pai_dlc", "emr")  # others can read what they are told: secrets are given by reference only
# All in one process: starting torchx forty times would be most of the time. The plans are tested in test_plan.py.
DRY_RUNS = """
import contextlib, io, json, sys
from torchx.cli.argparse_util import ArgOnceAction, torchxconfig
from torchx.cli.main import main
from tzx_schedulers import _plan
_plan._output = lambda command: ""
shown = {}
for key, words in json.load(sys.stdin).items():
    torchxconfig.called_args, ArgOnceAction.called_args = set(), set()  # what a command line may have once
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["run", "--dryrun", *words])
    shown[key] = out.getvalue()
json.dump(shown, sys.stdout)
"""


@pytest.fixture(scope="module")
def dry_runs(nightly: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What nightly and the other version show, by `SCHEDULER COMPONENT`."""
    commands = {}
    for scheduler, (options, _) in SCHEDULERS.items():
        for name, words in COMMANDS.items():
            given = [w.replace("hunter2", "secret:///mnt/token") if scheduler in CLOUDS else w for w in words]
            run_ = ["-s", scheduler, "--workspace", "", "-cfg", options, f"tzx.components.{name}", *given]
            commands[f"{scheduler} {name}"] = run_
    found = []
    for path in (nightly, Path(sys.executable).parent):
        done = run(path, "python", "-c", DRY_RUNS, tmp=tmp_path_factory.mktemp("home"), stdin=json.dumps(commands))
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(done.stdout))
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_both_versions_would_start_the_same(dry_runs: list[dict[str, str]], name: str) -> None:
    def request(shown: str) -> list[str]:
        lines = shown.partition("=== SCHEDULER REQUEST ===")[2].partition("=== PLAN ===")[0].splitlines()
        # What differs by nature: random ids and ports, the environment torchx runs in, a session id of nightly's own.
        varying = ("app id:", "log dir:", "    PATH=", "    TZX_MASTER_PORT=", "    TORCHX_")
        return [line for line in lines if not line.startswith(varying)]

    new, old = (shown[f"local_cwd {name}"] for shown in dry_runs)
    assert request(new) == request(old)
    assert f"-m tzx.apps.{name}" in new


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_takes_the_components(dry_runs: list[dict[str, str]], scheduler: str, name: str) -> None:
    for shown in dry_runs:
        text = shown[f"{scheduler} {name}"]
        assert f"tzx.apps.{name}" in text and SCHEDULERS[scheduler][1] in text and "hunter2" not in text


def test_a_bad_config_is_refused(nightly: Path, tmp_path: Path) -> None:
    words = ["run", "tzx.components.train", "--config", CONFIG, "--set", "train_config.num_stepz=1"]
    done = run(nightly, "torchx", *words, tmp=tmp_path)
    assert done.returncode == 2 and "num_stepz" in done.stderr and "Traceback" not in done.stderr


# What asks most of TorchX itself: commands, states, logs, lists, cancelling, and requests of services.
TESTS = {
    "local_cli": "",
    "slurm": "and dry_run",
    "kubernetes": "and dry_run",
    "kubernetes_cluster": "and not retries_by",
    "emr": "and (dry_run or refused or from_the_handle or no_string or following)",
    "pai_dlc": "and (dry_run or refused or from_the_handle or no_string or following)",
}


def test_the_schedulers_pass_their_tests(nightly: Path, tmp_path: Path) -> None:
    files = [str(Path(__file__).parent / f"test_{name}.py") for name in TESTS]
    chosen = " or ".join(f"(test_{name}.py {condition})" for name, condition in TESTS.items())
    words = ["-m", "pytest", "-m", "not slow", "-k", chosen, "-p", "no:cacheprovider", "--durations", "10"]
    done = run(nightly, "python", *words, "--basetemp", str(tmp_path / "t"), *files, tmp=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 40, done.stdout  # type: ignore[index]


def test_a_job_can_be_deleted(nightly: Path, tmp_path: Path) -> None:
    # `torchx delete` is new in nightly.
    shown = run(nightly, "torchx", "run", "utils.echo", "--msg", "hi", tmp=tmp_path)
    handle = shown.stdout.strip().splitlines()[-1]
    assert "hi" in shown.stderr and run(nightly, "torchx", "status", handle, tmp=tmp_path).returncode == 0
    assert run(nightly, "torchx", "delete", handle, tmp=tmp_path).returncode == 0
    assert run(nightly, "torchx", "status", handle, tmp=tmp_path).returncode != 0
