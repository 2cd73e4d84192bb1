"""scripts/install.sh on machines that lack something; a whole installation is where every clean checkout begins."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "install.sh"


def install(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "scripts").mkdir(exist_ok=True)
    (folder / "scripts" / "install.sh").write_text(SCRIPT.read_text())
    command = ["bash", str(folder / "scripts" / "install.sh")]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)


def fake_python(path: Path, body: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_no_python(tmp_path: Path) -> None:
    done = install(tmp_path, PYTHON="python-that-is-not-there")
    assert done.returncode == 2
    assert (
        "there is no python-that-is-not-there" in done.stderr and "apt-get install python3 python3-venv" in done.stderr
    )


def test_an_old_python(tmp_path: Path) -> None:
    old = fake_python(tmp_path / "old", 'case "$1" in --version) echo "Python 3.8.2";; *) exit 1;; esac')
    done = install(tmp_path, PYTHON=old)
    assert done.returncode == 2 and "Python 3.8.2 is too old" in done.stderr


def test_a_python_without_venv(tmp_path: Path) -> None:
    bare = fake_python(
        tmp_path / "bare",
        'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; *) exit 0;; esac',
    )
    done = install(tmp_path, PYTHON=bare)
    assert done.returncode == 2
    assert "sudo apt-get install python3-venv   (or python3.12-venv)" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("version", "gpu", "stopped"),
    [
        ("2.12.0+cpu", "", True),
        ("2.12.0", "1", False),
        ("2.13.0+cpu", "", False),
        ("2.13.1", "", False),
        ("", "", False),
    ],
)
def test_a_torch_of_another_version_is_not_replaced_on_a_cpu(
    tmp_path: Path, version: str, gpu: str, stopped: bool
) -> None:
    log = tmp_path / "calls"
    fake_python(
        tmp_path / ".venv" / "bin" / "python", f'echo "$@" >> {log}; case "$2" in *metadata*) echo "{version}";; esac'
    )
    done = install(tmp_path, PYTHON="python3", GPU=gpu)
    calls = log.read_text()
    assert ("pip install" in calls) != stopped
    if stopped:
        assert done.returncode == 2 and "has torch 2.12.0+cpu" in done.stderr and "docs/install.md" in done.stderr
    else:
        assert done.returncode == 0
        wanted = "-e .[gpu,dev]" if gpu else "./packaging/fbgemm-gpu-cpu -e .[dev]"
        assert wanted in calls and "pip check" in calls
