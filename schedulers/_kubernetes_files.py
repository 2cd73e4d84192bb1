"""Small files of the user's, such as a config, that travel with the job as a ConfigMap of its own."""

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ._words import SchedulerError, plain, shortened
from .contract import reveals

FOLDER = "/tzx/files"
_LARGEST = 500_000  # bytes of all together
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def read_files(paths: Sequence[str]) -> dict[str, str]:
    """Texts of the files by their paths, as they were given."""
    found: dict[str, str] = {}
    for path in paths:
        name = Path(plain(path, "files")).name
        if not _KEY.fullmatch(name) or name in (".", ".."):
            raise SchedulerError(f"files: {shortened(name)}: a name may have letters, digits, -, _ and . only")
        if any(Path(other).name == name for other in found):
            raise SchedulerError(f"files: two of them are called {name}")
        try:
            found[path] = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = "is no text" if isinstance(error, UnicodeDecodeError) else error.strerror
            raise SchedulerError(f"files: {shortened(path)}: {reason}") from None
        if reveals(found[path]):
            raise SchedulerError(f"files: {shortened(path)} holds a password or key; mount a secret instead")
    size = sum(len(text.encode()) for text in found.values())
    if size > _LARGEST:
        raise SchedulerError(f"files: {size:,} bytes together, {_LARGEST:,} are allowed; use a volume for data")
    return found


def config_map(name: str, labels: Mapping[str, str], files: Mapping[str, str]) -> dict[str, Any]:
    """The object that holds the files."""
    meta = {"name": name, "labels": dict(labels)}
    data = {Path(path).name: text for path, text in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "immutable": True, "data": data}


def seen_as(args: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Arguments, each of which may be the path of one of the files, as they have to be in the pod."""
    return [
        _stage(word, paths) if before == "--stage" else _seen(word, paths) for before, word in pairwise(["", *args])
    ]


def _seen(word: str, paths: Sequence[str]) -> str:
    return f"{FOLDER}/{Path(word).name}" if word in paths else word


def _stage(word: str, paths: Sequence[str]) -> str:
    """A stage of a pipeline, NAME=ARGUMENTS, which is a command line in one word."""
    name, _, command = word.partition("=")
    try:
        words = shlex.split(command)
    except ValueError:  # another program's --stage
        return word
    return f"{name}={shlex.join(_seen(inner, paths) for inner in words)}" if {*words} & {*paths} else word
