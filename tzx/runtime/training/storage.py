"""Files of a model directory, on a local disk or on an object store (any fsspec URL), written so that they last.

A local file is synced before it counts and so is the directory that names it; a small file appears whole or not at all.
On an object store an object appears whole when it is closed, and there is nothing to sync.
"""

import os
import shutil
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from torch.distributed.checkpoint.filesystem import FileSystem

from tzx.runtime.errors import StorageError, UserError
from tzx.runtime.training.remote import RemotePath

_CHUNK = 1 << 22


class Sum(NamedTuple):
    """Size in bytes and CRC-32 of a file."""

    size: int
    crc32: int


def location(path: str | Path) -> Path:
    """`path` as a Path; a URL becomes an object with the methods of one."""
    text = str(path)
    if "://" not in text or text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    try:
        return cast(Path, RemotePath.parse(text))
    except (ImportError, ValueError) as error:  # fsspec knows no such protocol, or lacks its package
        raise UserError(f"{text}: {error}") from error


def is_local(path: Path) -> bool:
    """Whether `path` is on a file system of this machine."""
    return isinstance(path, Path)


def make_directory(path: Path) -> None:
    """Make `path` and its parents; they last once their own parents are synced."""
    path.mkdir(parents=True, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory last.

    Raises:
        StorageError: they may not.
    """
    if not is_local(path):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def write_file(path: Path, text: str) -> Sum:
    """Write a small file that is there whole or not at all, and lasts once its directory is synced.

    Raises:
        StorageError: it could not be written; what was there before is still there.
    """
    data = text.encode()
    try:
        make_directory(path.parent)
        if is_local(path):
            temporary = path.with_name(path.name + ".tmp")
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        else:
            path.write_bytes(data)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return Sum(len(data), zlib.crc32(data))


def append_line(path: Path, line: str) -> None:
    """Append a line; an object store has no appending, so there the whole is written again."""
    make_directory(path.parent)
    if is_local(path):
        with open(path, "a") as file:
            file.write(line + "\n")
    else:
        before = path.read_text() if path.is_file() else ""
        path.write_text(before + line + "\n")


def sum_file(path: Path) -> Sum:
    """Size and checksum of what can be read back."""
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return Sum(size, crc)


def remove_tree(path: Path) -> None:
    """Remove a directory and everything in it."""
    if is_local(path):
        shutil.rmtree(path)
    else:
        cast(RemotePath, path).remove_tree()


class Summed:
    """A stream for writing that knows the size and checksum of what went through, and the first error met.

    torch hides an error of a stream behind one of its own; `error` keeps what really happened.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = self.crc32 = 0
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        try:
            self._stream.write(view)
        except OSError as error:
            self.error = self.error or error
            raise
        self.size, self.crc32 = self.size + len(view), zlib.crc32(view, self.crc32)
        return len(view)

    def tell(self) -> int:
        """Bytes written."""
        return self.size

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()

    def close(self) -> None:
        """Whoever opened the stream closes it."""


class TensorFiles(FileSystem):
    """The files of one torch checkpoint directory; `sums` says what has been written, by file name."""

    def __init__(self) -> None:
        self.sums: dict[str, Sum] = {}
        self.error: OSError | None = None

    @contextmanager
    def create_stream(self, path: Any, mode: str) -> Generator[Any, None, None]:
        """Open a file; one that was written is synced when it is closed."""
        with path.open(mode) as stream:
            if mode == "rb":
                yield stream
                return
            summed = Summed(stream)
            try:
                yield summed
                stream.flush()
                if is_local(path):
                    os.fsync(stream.fileno())
            except OSError as error:
                self.error = self.error or error
                raise
            finally:
                self.error = self.error or summed.error
        self.sums[path.name] = Sum(summed.size, summed.crc32)

    def init_path(self, path: Any) -> Any:
        """Paths are used as they are."""
        return path

    def concat_path(self, path: Any, suffix: str) -> Any:
        """A file of the directory."""
        return path / suffix

    def mkdir(self, path: Any) -> None:
        """Make the directory."""
        make_directory(path)

    def rename(self, path: Any, new_path: Any) -> None:
        """Rename a file just written."""
        if is_local(path):
            os.replace(path, new_path)
        else:
            path.rename(new_path)
        self.sums[new_path.name] = self.sums.pop(path.name)

    def exists(self, path: Any) -> bool:
        """Whether there is such a file."""
        return bool(path.exists())

    def rm_file(self, path: Any) -> None:
        """Remove a file."""
        path.unlink()
