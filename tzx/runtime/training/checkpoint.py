"""Checkpoints: a directory counts only once its commit marker, written last, is there.

    model_dir/model.ckpt-<step>/
        model/ optimizer/ id_maps/ ...   torch distributed checkpoints, tensors only
        plan  dataloader_state.json  meta
        WRITING                          written first, so that a torn directory is known as one of ours
        COMMITTED                        written after every rank has finished: sizes and checksums of all files
        DAMAGED                          what COMMITTED becomes when the files are found to be others

Saves go to a fresh directory each, so a torn one is never mistaken for, nor mixed with, a whole one.
"""

import contextlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tzx.runtime.errors import StorageError, UserError
from tzx.runtime.training.manifest import MARKER, find_damage, write_marker
from tzx.runtime.training.ranks import Ranks
from tzx.runtime.training.storage import Sum, location, remove_tree, sync_directory, write_file
from tzx.runtime.training.tensor_files import TensorMap, save_tensors

logger = logging.getLogger("tzx")

BEGUN = "WRITING"
DAMAGED = "DAMAGED"
_NAME = re.compile(r"model\.ckpt-(\d+)")


@dataclass(frozen=True)
class Snapshot:
    """What one checkpoint consists of.

    Args:
        path: directory to make.
        folders: tensors by folder and name, of which every rank holds its part.
        files: JSON content of small files, by name.
    """

    path: Path
    folders: Mapping[str, TensorMap]
    files: Mapping[str, Any]


def step_of(checkpoint: Path) -> int:
    """The training step in a checkpoint's name."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else 0


def _named_checkpoints(model_dir: str | Path) -> list[Path]:
    """Directories with the name of a checkpoint, whole or not, oldest first."""
    folder = location(model_dir)
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=step_of)


def committed_checkpoints(model_dir: str | Path) -> list[Path]:
    """Whole checkpoints under `model_dir`, oldest first."""
    return [path for path in _named_checkpoints(model_dir) if (path / MARKER).is_file()]


def foreign_checkpoints(model_dir: str | Path) -> list[Path]:
    """Directories named like checkpoints that tzx has not made; those of TorchEasyRec are named so."""
    names = {path: {entry.name for entry in path.iterdir()} for path in _named_checkpoints(model_dir)}
    return [path for path, found in names.items() if found and not found & {MARKER, BEGUN, f"{BEGUN}.tmp"}]


def latest_checkpoint(model_dir: str | Path) -> Path | None:
    """The newest whole checkpoint by its marker, or None; what it holds is not looked at."""
    found = committed_checkpoints(model_dir)
    return found[-1] if found else None


def find_intact(model_dir: str | Path, ranks: Ranks | None = None) -> Path | None:
    """The newest checkpoint whose files are what was written, or None where there is none at all; all ranks together.

    Damaged newer ones are named in a warning and marked, so that nothing takes them again.

    Raises:
        StorageError: there are checkpoints, but each of them is damaged.
    """
    ranks = ranks or Ranks()
    found = ranks.chief_does(partial(committed_checkpoints, model_dir))
    damaged = []
    for path in reversed(found):
        problems = _damage_of(path, ranks)
        if not problems:
            return path
        damaged.append(path.name)
        logger.warning("%s is damaged, going back to the one before it: %s", path.name, "; ".join(problems[:3]))
        ranks.chief_does(partial(_mark_damaged, path))
    if damaged:
        raise StorageError(f"{model_dir}: every checkpoint is damaged ({', '.join(damaged)}); see the warnings above")
    return None


def resolve_checkpoint(path: str | Path, ranks: Ranks | None = None) -> Path:
    """The checkpoint at `path`, or the newest intact one when `path` is a model directory; all ranks together.

    Raises:
        StorageError: the checkpoint named is damaged; the message names the file.
    """
    path, ranks = location(path), ranks or Ranks()
    if ranks.chief_does((path / MARKER).is_file):
        if problems := _damage_of(path, ranks):
            raise StorageError(f"checkpoint {path} is damaged: {'; '.join(problems[:3])}; name another checkpoint")
        return path
    if _NAME.fullmatch(path.name) and path.is_dir():
        if (path / DAMAGED).is_file():
            raise StorageError(f"{path} was found to be damaged; name another checkpoint")
        raise UserError(f"{path} was never finished: it has no {MARKER} marker; name an earlier checkpoint")
    latest = find_intact(path, ranks)
    if latest is None:
        there = "holds no finished checkpoint (model.ckpt-*)" if path.is_dir() else "does not exist"
        raise UserError(f"no checkpoint to read: {path} {there}")
    return latest


def _damage_of(checkpoint: Path, ranks: Ranks) -> list[str]:
    shares = ranks.gather(ranks.do(partial(find_damage, checkpoint, ranks.rank, ranks.size)))
    return sorted({problem for share in shares for problem in share})


def _mark_damaged(checkpoint: Path) -> None:
    with contextlib.suppress(OSError):  # a directory that cannot be written is found damaged again next time
        (checkpoint / MARKER).rename(checkpoint / DAMAGED)


def commit(snapshot: Snapshot, ranks: Ranks | None = None) -> None:
    """Write one checkpoint: every rank writes its part, then rank 0 the small files and, last, the marker.

    A torn earlier attempt at the same path is removed first.

    Raises:
        StorageError: a rank could not write; raised on all of them, and the directory does not count.
    """
    ranks = ranks or Ranks()
    ranks.chief_does(partial(_begin, snapshot.path))
    sums: dict[str, Sum] = {}
    for folder, tensors in snapshot.folders.items():
        written = ranks.do(partial(save_tensors, snapshot.path / folder, tensors, ranks))
        sums |= {f"{folder}/{name}": sum_ for name, sum_ in written.items()}
    shares = ranks.gather(sums)
    ranks.chief_does(partial(_finish, snapshot, shares))


def _begin(checkpoint: Path) -> None:
    if checkpoint.exists():
        remove(checkpoint)
        if (checkpoint / MARKER).exists():
            raise StorageError(f"cannot replace checkpoint {checkpoint}: its {MARKER} cannot be removed")
    write_file(checkpoint / BEGUN, "")
    sync_directory(checkpoint.parent)


def _finish(snapshot: Snapshot, shares: Iterable[Mapping[str, Sum]]) -> None:
    sums = {name: sum_ for share in shares for name, sum_ in share.items()}
    for name, content in snapshot.files.items():
        sums[name] = write_file(snapshot.path / name, json.dumps(content, indent=1))
    sync_directory(snapshot.path)
    write_marker(snapshot.path, sums)
    sync_directory(snapshot.path)


def prune(model_dir: str | Path, keep: int, protected: Iterable[Path] = ()) -> None:
    """Remove the oldest whole checkpoints beyond `keep` (0 keeps all), never the newest and never those protected."""
    if keep <= 0:
        return
    kept = set(protected)
    for old in committed_checkpoints(model_dir)[:-keep]:
        if old not in kept:
            remove(old)


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint so that, wherever this is cut short, what is left neither counts nor looks like a stranger's.

    What cannot be removed stays: that is no reason to lose a run.
    """
    with contextlib.suppress(OSError):
        (checkpoint / MARKER).unlink(missing_ok=True)
        for entry in checkpoint.iterdir():
            if entry.is_dir():
                remove_tree(entry)
            elif entry.name != BEGUN:
                entry.unlink()
        (checkpoint / BEGUN).unlink(missing_ok=True)
        if checkpoint.exists():
            remove_tree(checkpoint)


def read_json(path: Path, default: Any = None) -> Any:
    """Content of a small file of a checkpoint, or `default` where it is absent."""
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error
