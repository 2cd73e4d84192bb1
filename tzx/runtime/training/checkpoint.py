"""Checkpoints: a directory counts only once its commit marker, written last, is there.

    model_dir/model.ckpt-<step>/
        model/ optimizer/ dense_ema/     torch distributed checkpoints, tensors only
        plan  dataloader_state.json  meta
        WRITING                          written first, so that a torn directory is known as one of ours
        COMMITTED                        written after every rank has finished

Saves go to a fresh directory each, so a torn one is never mistaken for, nor mixed with, a whole one.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from tzx.runtime.errors import StorageError, UserError
from tzx.runtime.training.tensor_reader import TensorReader

logger = logging.getLogger("tzx")

MARKER = "COMMITTED"
BEGUN = "WRITING"
_NAME = re.compile(r"model\.ckpt-(\d+)")

# Said on every save and load of a single process, where it is exactly what is meant.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")

TensorMap = dict[str, Any]  # name -> Tensor or ShardedTensor


def step_of(checkpoint: Path) -> int:
    """The training step in a checkpoint's name."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else 0


def committed_checkpoints(model_dir: str | Path) -> list[Path]:
    """Whole checkpoints under `model_dir`, oldest first."""
    found = [p for p in Path(model_dir).glob("model.ckpt-*") if _NAME.fullmatch(p.name) and (p / MARKER).is_file()]
    return sorted(found, key=step_of)


def foreign_checkpoints(model_dir: str | Path) -> list[Path]:
    """Directories named like checkpoints that tzx has not made; those of TorchEasyRec are named so."""
    found = [p for p in Path(model_dir).glob("model.ckpt-*") if _NAME.fullmatch(p.name) and p.is_dir()]
    return sorted(p for p in found if any(p.iterdir()) and not ((p / MARKER).exists() or (p / BEGUN).exists()))


def latest_checkpoint(model_dir: str | Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    found = committed_checkpoints(model_dir)
    return found[-1] if found else None


def resolve_checkpoint(path: str | Path) -> Path:
    """The checkpoint at `path`, or the newest one when `path` is a model directory."""
    path = Path(path)
    if (path / MARKER).is_file():
        return path
    if _NAME.fullmatch(path.name) and path.is_dir():
        raise UserError(f"{path} was never finished: it has no {MARKER} marker; name an earlier checkpoint")
    latest = latest_checkpoint(path)
    if latest is None:
        there = "holds no finished checkpoint (model.ckpt-*)" if path.is_dir() else "does not exist"
        raise UserError(f"no checkpoint to read: {path} {there}")
    return latest


def save_tensors(folder: Path, tensors: TensorMap) -> None:
    """Write a flat map of tensors; every rank calls this together."""
    try:
        dcp.save(dict(tensors), storage_writer=dcp.FileSystemWriter(folder), no_dist=not _is_distributed())
    except (OSError, dcp.api.CheckpointException) as error:
        raise StorageError(f"cannot write checkpoint {folder}: {_reason(error)}") from error


def load_tensors(folder: Path, tensors: TensorMap, names: Mapping[str, str] | None = None) -> list[str]:
    """Fill `tensors` in place with those of the checkpoint that have the same name and shape.

    Args:
        folder: a directory written by `save_tensors`, possibly by another number of ranks.
        tensors: what to fill, by name.
        names: the name in the checkpoint of a tensor, where it differs.

    Returns:
        The names that were left as they were, each with the reason.
    """
    saved = read_metadata(folder).state_dict_metadata
    wanted, left = {}, []
    for name, tensor in tensors.items():
        old = (names or {}).get(name, name)
        entry = saved.get(old)
        if not isinstance(entry, TensorStorageMetadata):
            left.append(f"{name} (not in the checkpoint)")
        elif tuple(entry.size) != tuple(tensor.size()):
            left.append(f"{name} (shape {tuple(entry.size)} in the checkpoint, {tuple(tensor.size())} in the model)")
        else:
            wanted[old] = tensor
    if wanted or _is_distributed():
        _load(folder, wanted)
    return left


def _load(folder: Path, wanted: TensorMap) -> None:
    try:
        dcp.load(wanted, storage_reader=TensorReader(folder), no_dist=not _is_distributed())
    except (OSError, dcp.api.CheckpointException) as error:
        raise StorageError(f"cannot read checkpoint {folder}: {_reason(error)}") from error


def read_metadata(folder: Path) -> Metadata:
    """Names, shapes and types of the tensors in a directory written by `save_tensors`."""
    return TensorReader(folder).read_metadata()


def load_unsharded(checkpoint: Path, model: nn.Module) -> None:
    """Fill a plain model in one process from a checkpoint of any number of ranks.

    Raises:
        UserError: the checkpoint lacks a parameter of the model, or has it in another shape.
    """
    tensors = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    left = load_tensors(checkpoint / "model", tensors)
    if left:
        raise UserError(f"checkpoint {checkpoint} does not fit this config: " + "; ".join(left))
    model.load_state_dict(tensors, strict=False)


def commit(
    checkpoint: Path, is_chief: bool, write: Mapping[str, Callable[[Path], None]], files: Mapping[str, Any]
) -> None:
    """Write one checkpoint: every rank writes its part, then rank 0 the small files and, last, the marker.

    Args:
        checkpoint: directory to make; a torn earlier attempt of the same name is removed first.
        is_chief: whether this is rank 0.
        write: what all ranks write together, by folder name.
        files: JSON content of small files, by name.
    """
    if is_chief:
        if checkpoint.exists():
            _remove(checkpoint)
        _write_durably(checkpoint / BEGUN, "")
    _barrier()
    for folder, writer in write.items():
        writer(checkpoint / folder)
    _barrier()
    if is_chief:
        for name, content in files.items():
            _write_durably(checkpoint / name, json.dumps(content, indent=1))
        _write_durably(checkpoint / MARKER, f"{step_of(checkpoint)}\n")
    _barrier()


def prune(model_dir: str | Path, keep: int, protected: Path | None = None) -> None:
    """Remove the oldest whole checkpoints beyond `keep` (0 keeps all), never `protected`."""
    if keep <= 0:
        return
    for old in committed_checkpoints(model_dir)[:-keep]:
        if old != protected:
            _remove(old)


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint so that, wherever this is cut short, what is left neither counts nor looks like a stranger's.

    What cannot be removed stays: that is no reason to lose a run.
    """
    with contextlib.suppress(OSError):
        (checkpoint / MARKER).unlink(missing_ok=True)
        for entry in checkpoint.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != BEGUN:
                entry.unlink()
        (checkpoint / BEGUN).unlink(missing_ok=True)
        checkpoint.rmdir()


def read_json(path: Path, default: Any = None) -> Any:
    """Content of a small file of a checkpoint, or `default` where it is absent."""
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _is_distributed() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1


def _barrier() -> None:
    if _is_distributed():
        dist.barrier()


def _reason(error: BaseException) -> str:
    failures = getattr(error, "failures", None)
    if failures:  # a CheckpointException holds the cause of each rank
        return "; ".join(f"rank {rank}: {cause[0]}" for rank, cause in failures.items())
    return str(error)
