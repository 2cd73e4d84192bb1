"""The wheel holds what the repository holds, under the names that are imported."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the tracked files, so that nothing depends on what else lies around."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split("\n")
    with tarfile.open(folder / "source.tar", "w") as archive:
        for name in listed:
            if name and (ROOT / name).is_file():
                archive.add(ROOT / name, name)
    with tarfile.open(folder / "source.tar") as archive:
        archive.extractall(folder / "source", filter="data")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, str(folder / "source")], check=True, timeout=300)
    return next(folder.glob("tzx-*.whl"))


def test_every_module_and_schema_is_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = set()
    for name in subprocess.check_output(["git", "ls-files", "tzx", "schedulers"], cwd=ROOT, text=True).split("\n"):
        if name.endswith((".py", ".pyi", ".proto", "py.typed")) and (ROOT / name).is_file():
            expected.add(name.replace("schedulers/", "tzx_schedulers/", 1) if name.startswith("schedulers/") else name)
    assert expected <= inside, sorted(expected - inside)
    tops = {name.split("/")[0] for name in inside}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tzx", "tzx_schedulers"}


def test_the_first_scheduler_is_the_default_one(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    _, _, schedulers = archive.read(name).decode().partition("[torchx.schedulers]\n")
    assert schedulers.startswith("local_cwd = tzx_schedulers.local:create_scheduler\n")


def test_it_works_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import tzx, tzx_schedulers.local, tzx.runtime.config\n"
        "print(tzx.__file__, tzx_schedulers.__file__)"
    )
    # -S: without site-packages nothing of the editable installation can answer instead, so torchx is added by hand.
    import torchx

    site = str(Path(torchx.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.append({site!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(tmp_path / "tzx/__init__.py"), str(tmp_path / "tzx_schedulers/__init__.py")], (
        done
    )
