"""Part files of a prediction: none is ever overwritten, and none has its final name before it is whole."""

import re
import time
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

import fsspec
import pyarrow as pa

from tzx.runtime.data.writers import open_writer
from tzx.runtime.errors import UserError

_PART = re.compile(r"part-(\d+)\.(parquet|csv)")
_STARTED = time.time()


def check_output(directory: str, rank: int, world_size: int) -> None:
    """Refuse a directory that holds parts of an earlier run.

    Parts of the other processes of this run may be there already: those that are younger than this process.

    Raises:
        UserError: there are such parts.
    """
    filesystem, root = fsspec.core.url_to_fs(directory)
    if not filesystem.exists(root):
        return
    if not filesystem.isdir(root):
        raise UserError(f"{directory} is a file; --predict_output_path names a directory")
    filesystem.invalidate_cache(root)
    names = [entry.rstrip("/").rsplit("/", 1)[-1] for entry in filesystem.ls(root, detail=False)]
    for name in sorted(names):
        match = _PART.fullmatch(name)
        if match and _is_earlier(filesystem, f"{root.rstrip('/')}/{name}", int(match[1]), rank, world_size):
            raise UserError(f"{directory} already holds {name}; remove it or choose another --predict_output_path")


def _is_earlier(filesystem: Any, path: str, index: int, rank: int, world_size: int) -> bool:
    if index == rank or index >= world_size:
        return True
    try:
        modified = filesystem.modified(path)
    except (NotImplementedError, FileNotFoundError):
        return False
    if modified.tzinfo is None:
        modified = modified.replace(tzinfo=timezone.utc)
    return bool(modified < datetime.fromtimestamp(_STARTED, timezone.utc))


class PartFile:
    """`part-<rank>` of a directory, opened at the first rows; appears only when the `with` block ends well."""

    def __init__(self, directory: str, kind: str, rank: int) -> None:
        self._directory, self._kind, self._rank = directory, kind, rank
        self._writer: Any = None

    @property
    def name(self) -> str:
        """Where the part lies; empty when it never got a row."""
        return f"{self._directory.rstrip('/')}/part-{self._rank}.{self._kind}" if self._writer is not None else ""

    def write(self, rows: pa.RecordBatch) -> None:
        """Append rows."""
        if self._writer is None:
            self._writer = open_writer(self._kind, self._directory, self._rank)
        self._writer.write(rows)

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        if kind is None:
            self._writer.close()
        else:
            self._writer.abort()
