"""The same components and schedulers under torchx-nightly, in an environment of their own without torch.

torchx and torchx-nightly provide the same module and cannot be installed together.
"""

import hashlib
import json
import os
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


def run(nightly: Path, *words: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp), "HOME": str(tmp), "COLUMNS": "200"}
    return subprocess.run(
        [str(nightly / words[0]), *words[1:]], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )


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
    "predict": ["--bundle", "out", "--predict_input_path", "a", "--predict_output_path", "b", "-j", "1x2"],
}


def dry_run(torchx: Path, scheduler: str, name: str, tmp: Path, *options: str) -> str:
    words = ["run", "-s", scheduler, *options, "--dryrun", f"tzx.components.{name}", *COMMANDS[name]]
    done = run(torchx, "torchx", *words, tmp=tmp)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_both_versions_would_start_the_same(nightly: Path, tmp_path: Path, name: str) -> None:
    def request(shown: str) -> list[str]:
        lines = shown.partition("=== SCHEDULER REQUEST ===")[2].splitlines()
        # What differs by nature: random ids and ports, the environment torchx runs in, a session id of nightly's own.
        varying = ("app id:", "    PATH=", "    TZX_MASTER_PORT=", "    TORCHX_")
        return [line for line in lines if not line.startswith(varying)]

    new, old = (dry_run(path, "local_cwd", name, tmp_path) for path in (nightly, Path(sys.executable).parent))
    assert request(new) == request(old)
    assert f"-m tzx.apps.{name}" in new and "hunter2" not in new + old


@pytest.mark.parametrize("name", COMMANDS)
def test_other_schedulers_take_the_components_too(nightly: Path, tmp_path: Path, name: str) -> None:
    for path in (nightly, Path(sys.executable).parent):
        assert f"tzx.apps.{name}" in dry_run(path, "slurm", name, tmp_path)
        shown = dry_run(path, "kubernetes", name, tmp_path, "-cfg", "image=repo/tzx:1")
        assert f"tzx.apps.{name}" in shown and "kind: Job" in shown and "hunter2" not in shown


# Others can read what these services are told: secrets are given by reference only.
CLOUDS = {
    "pai_dlc": ("workspace=1,quota=q,image=repo/tzx:1", "CreateJob"),
    "emr": ("flavor=yarn", "spark-submit"),
}


@pytest.mark.parametrize("scheduler", CLOUDS)
def test_clouds_take_the_components_too(nightly: Path, tmp_path: Path, scheduler: str) -> None:
    options, sign = CLOUDS[scheduler]
    for name, words in COMMANDS.items():
        safe = [word.replace("hunter2", "secret:///mnt/token") for word in words]
        command = ["run", "-s", scheduler, "-cfg", options, "--dryrun", f"tzx.components.{name}", *safe]
        for path in (nightly, Path(sys.executable).parent):
            done = run(path, "torchx", *command, tmp=tmp_path)
            assert done.returncode == 0, done.stderr
            assert f"tzx.apps.{name}" in done.stdout and sign in done.stdout


def test_clouds_pass_their_tests(nightly: Path, tmp_path: Path) -> None:
    tests = [str(Path(__file__).parent / name) for name in ("test_emr.py", "test_pai_dlc.py")]
    chosen = "dry_run or refused or from_the_handle or no_string or following"
    words = ["-m", "pytest", "-k", chosen, "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "t"), *tests]
    done = run(nightly, "python", *words, tmp=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:]


def test_a_bad_config_is_refused(nightly: Path, tmp_path: Path) -> None:
    words = ["run", "tzx.components.train", "--config", CONFIG, "--set", "train_config.num_stepz=1"]
    done = run(nightly, "torchx", *words, tmp=tmp_path)
    assert done.returncode == 2 and "num_stepz" in done.stderr and "Traceback" not in done.stderr


def test_the_local_scheduler_passes_its_tests(nightly: Path, tmp_path: Path) -> None:
    tests = sorted(str(file) for file in Path(__file__).parent.glob("test_local_*.py"))
    words = ["-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "t"), *tests]
    done = run(nightly, "python", *words, tmp=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_kubernetes_scheduler_passes_its_tests(nightly: Path, tmp_path: Path) -> None:
    tests = [str(Path(__file__).parent / f"test_kubernetes{part}.py") for part in ("", "_cluster", "_faults", "_kinds")]
    chosen = "not retries_by"
    words = [
        "-m",
        "pytest",
        "-m",
        "not slow",
        "-k",
        chosen,
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "t"),
    ]
    done = run(nightly, "python", *words, "--basetemp", str(tmp_path / "t"), *tests, tmp=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:]


def test_a_job_can_be_deleted(nightly: Path, tmp_path: Path) -> None:
    # `torchx delete` is new in nightly.
    shown = run(nightly, "torchx", "run", "utils.echo", "--msg", "hi", tmp=tmp_path)
    handle = shown.stdout.strip().splitlines()[-1]
    assert "hi" in shown.stderr and run(nightly, "torchx", "status", handle, tmp=tmp_path).returncode == 0
    assert run(nightly, "torchx", "delete", handle, tmp=tmp_path).returncode == 0
    assert run(nightly, "torchx", "status", handle, tmp=tmp_path).returncode != 0
