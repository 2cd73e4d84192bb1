"""Part files of earlier predictions, which are never overwritten nor mixed with new ones."""

import re
import time
from datetime import datetime, timezone
from typing import Any

import fsspec

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
