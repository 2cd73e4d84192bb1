"""Input paths: comma lists, globs, folders and fsspec URLs, resolved to files in a fixed order."""

import difflib
import posixpath
from dataclasses import dataclass

import fsspec
import pyarrow as pa
import pyarrow.fs as pafs
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from tzx.runtime.errors import UserError

_GLOB = frozenset("*?[")
_HIDDEN = ("_", ".")


@dataclass(frozen=True)
class InputFile:
    """One file: its `name` as the user would write it, and how to open it."""

    name: str
    path: str
    size: int
    fs: fsspec.AbstractFileSystem

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine's file system."""
        return isinstance(self.fs, LocalFileSystem)

    def open(self) -> pa.NativeFile:
        """A seekable Arrow file."""
        if self.is_local:
            return pafs.LocalFileSystem().open_input_file(self.path)
        return pafs.PyFileSystem(pafs.FSSpecHandler(self.fs)).open_input_file(self.path)


def expand(paths: str, suffixes: tuple[str, ...]) -> list[InputFile]:
    """Files named by a comma list of files, globs, folders and URLs: entries in the order given, each one sorted.

    Raises:
        UserError: an entry names nothing; the message holds every such entry.
    """
    files: list[InputFile] = []
    problems: list[str] = []
    entries = [entry.strip() for entry in paths.split(",") if entry.strip()]
    if not entries:
        raise UserError("no input path is given; set train_input_path or eval_input_path, or pass it as a flag")
    for entry in entries:
        try:
            found = _expand_one(entry, suffixes)
        except (ImportError, ValueError) as error:  # no such protocol, or its package is not installed
            raise UserError(f"input path {entry}: {error}") from error
        except PermissionError as error:
            raise UserError(f"input path {entry}: no permission to read it ({error})") from error
        files += found
        if not found:
            problems.append(_nothing_found(entry, suffixes))
    if problems:
        raise UserError("\n".join(problems))
    return files


def _expand_one(entry: str, suffixes: tuple[str, ...]) -> list[InputFile]:
    fs, path = url_to_fs(entry)
    if isinstance(fs, LocalFileSystem):
        # A file that came into being a moment ago must be seen, so no listing is taken from a cache.
        fs.invalidate_cache()
    try:
        infos = [fs.info(path)]
    except FileNotFoundError:
        found = fs.glob(path, detail=True).values() if _GLOB & set(path) else []
        asked = posixpath.basename(path).startswith(_HIDDEN)
        infos = [info for info in found if asked or not _is_hidden(info["name"])]
    files = []
    for info in infos:
        if info["type"] == "directory":
            listing = fs.ls(info["name"], detail=True)
            files += [i for i in listing if i["type"] == "file" and _is_data(i["name"], suffixes)]
        else:
            files.append(info)
    return sorted((_input_file(fs, entry, info) for info in files), key=lambda f: f.path)


def _input_file(fs: fsspec.AbstractFileSystem, entry: str, info: dict) -> InputFile:  # type: ignore[type-arg]
    path = str(info["name"])
    if isinstance(fs, LocalFileSystem):
        relative = not entry.startswith(("/", "file:"))
        name = posixpath.relpath(path) if relative else path
    else:
        name = fs.unstrip_protocol(path)
    return InputFile(name, path, int(info.get("size") or 0), fs)


def _is_data(path: str, suffixes: tuple[str, ...]) -> bool:
    return path.lower().endswith(suffixes) and not _is_hidden(path)


def _is_hidden(path: str) -> bool:
    """Whether a name is one that writers give to what is no data (yet), such as _SUCCESS or .part-0.tmp."""
    return posixpath.basename(path).startswith(_HIDDEN)


def _nothing_found(entry: str, suffixes: tuple[str, ...]) -> str:
    fs, path = url_to_fs(entry)
    if _GLOB & set(path):
        return f"input path {entry}: the pattern matches no file"
    if fs.exists(path):
        return f"input path {entry}: the folder holds no {' or '.join(suffixes)} file"
    parent = posixpath.dirname(path)
    try:
        names = [posixpath.basename(str(n)) for n in fs.ls(parent, detail=False)]
    except OSError:
        return f"input path {entry}: no such file; the folder {parent} does not exist either"
    near = difflib.get_close_matches(posixpath.basename(path), names, n=1)
    return f"input path {entry}: no such file" + (f"; did you mean {posixpath.join(parent, near[0])}?" if near else "")
