"""A path on an object store: the methods of pathlib.Path that a model directory needs, over fsspec.

A store has no directories, only names with slashes in them; one "exists" while something lies below it.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import IO, Any

import fsspec


@dataclass(frozen=True)
class RemotePath:
    """`<protocol>://<path>`; equal where both are."""

    protocol: str
    path: str
    fs: fsspec.AbstractFileSystem = field(compare=False, repr=False)

    @staticmethod
    def parse(url: str) -> "RemotePath":
        """The path of a URL.

        Raises:
            ValueError, ImportError: fsspec knows no such protocol, or lacks its package.
        """
        filesystem, path = fsspec.core.url_to_fs(url)
        return RemotePath(url.partition("://")[0], path.rstrip("/"), filesystem)

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(self.protocol, f"{self.path}/{name}", self.fs)

    def __str__(self) -> str:
        return f"{self.protocol}://{self.path.lstrip('/')}"

    @property
    def name(self) -> str:
        """The last part."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> "RemotePath":
        """All but the last part."""
        return RemotePath(self.protocol, posixpath.dirname(self.path), self.fs)

    def exists(self) -> bool:
        """Whether it is a file or has files below it."""
        return bool(self.fs.exists(self.path))

    def is_file(self) -> bool:
        """Whether it is a file."""
        return bool(self.fs.isfile(self.path))

    def is_dir(self) -> bool:
        """Whether there are files below it."""
        return bool(self.fs.isdir(self.path))

    def iterdir(self) -> Iterator["RemotePath"]:
        """What lies directly below, as the store says now, not as it said before."""
        self.fs.invalidate_cache(self.path)
        for name in sorted(self.fs.ls(self.path, detail=False)):
            if posixpath.basename(name.rstrip("/")) != self.name:  # some stores list the place itself
                yield self / posixpath.basename(name.rstrip("/"))

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing but make the bucket, or what else the store wants first."""
        self.fs.makedirs(self.path, exist_ok=True)

    def open(self, mode: str = "r") -> IO[Any]:
        """Open the file; a written one is there when it is closed."""
        return self.fs.open(self.path, mode)  # type: ignore[no-any-return]

    def read_bytes(self) -> bytes:
        """All of the file."""
        return self.fs.cat_file(self.path)  # type: ignore[no-any-return]

    def read_text(self) -> str:
        """All of the file as UTF-8."""
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> None:
        """Replace the file."""
        self.fs.pipe_file(self.path, data)

    def write_text(self, text: str) -> None:
        """Replace the file with UTF-8."""
        self.write_bytes(text.encode())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if not missing_ok or self.exists():
            self.fs.rm_file(self.path)

    def remove_tree(self) -> None:
        """Remove everything below."""
        self.fs.rm(self.path, recursive=True)

    def rename(self, target: "RemotePath") -> None:
        """Copy and remove: on a store this is no single step."""
        self.fs.mv(self.path, target.path)

    def stat(self) -> SimpleNamespace:
        """`st_mtime`, where the store knows it."""
        changed = self.fs.modified(self.path)
        return SimpleNamespace(st_mtime=changed.timestamp() if isinstance(changed, datetime) else changed)
