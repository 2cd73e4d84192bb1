"""Writing statistics: a JSON file for programs and a page for people, each whole or not there."""

import posixpath
import uuid
from typing import Any

from fsspec.core import url_to_fs

from tzx.runtime.errors import StorageError, UserError
from tzx.runtime.features.statistics import DataStatistics
from tzx.runtime.features.statistics.page import render

JSON_NAME, PAGE_NAME = "statistics.json", "statistics.html"


def make_place(directory_or_url: str) -> tuple[Any, str]:
    """Make the folder; returns its file system and its path there.

    Raises:
        UserError: the place is not usable.
        StorageError: it cannot be reached.
    """
    try:
        files, folder = url_to_fs(directory_or_url)
        files.makedirs(folder, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError, ImportError, ValueError) as error:
        raise UserError(f"output_dir {directory_or_url}: {error}") from error
    except OSError as error:
        raise StorageError(f"output_dir {directory_or_url}: {error}") from error
    return files, folder


def write_report(statistics: DataStatistics, directory_or_url: str) -> list[str]:
    """Write statistics.json and statistics.html, replacing older ones; returns where they lie.

    Raises:
        UserError: the place is not usable.
        StorageError: writing failed.
    """
    files, folder = make_place(directory_or_url)
    texts = {JSON_NAME: statistics.dumps() + "\n", PAGE_NAME: render(statistics)}
    try:
        for name, text in texts.items():
            temporary = posixpath.join(folder, f".{name}.{uuid.uuid4().hex[:8]}.tmp")
            with files.open(temporary, "wb") as stream:
                stream.write(text.encode())
            files.mv(temporary, posixpath.join(folder, name))
    except OSError as error:
        raise StorageError(f"output_dir {directory_or_url}: writing failed: {error}") from error
    return [posixpath.join(directory_or_url.rstrip("/"), name) for name in texts]
