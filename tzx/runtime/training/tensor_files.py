"""Maps of tensors in torch's distributed checkpoint format: written by all ranks together, read by any number.

Only tensors are written, and what is read runs no code: see tensor_reader.py.
"""

import errno
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from tzx.runtime.errors import StorageError, UserError
from tzx.runtime.training.ranks import Ranks
from tzx.runtime.training.storage import Sum, TensorFiles, sync_directory
from tzx.runtime.training.tensor_reader import TensorReader

# Said on every save and load of a single process, where it is exactly what is meant.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")

TensorMap = dict[str, Any]  # name -> Tensor or ShardedTensor


class _Writer(dcp.FileSystemWriter):
    """Writes through `files`, which syncs; its index does not say where it lies, so a checkpoint can be moved."""

    def __init__(self, folder: Path, files: TensorFiles) -> None:
        super().__init__(".", sync_files=False)
        self.fs = files
        self.path = folder

    def storage_meta(self) -> StorageMeta:
        """What is kept about the writing itself."""
        return StorageMeta(save_id=self.save_id)


class _Planner(dcp.DefaultSavePlanner):
    """Hands out tensors that are their whole storage.

    Parts of a larger one, as tables on CPU are, would be copied by torch, which forgets the copies late.
    """

    def transform_object(self, write_item: Any, object: Any) -> Any:
        """What is written for an item."""
        found = super().transform_object(write_item, object)
        return _by_itself(found) if isinstance(found, Tensor) else found


def _by_itself(tensor: Tensor) -> Tensor:
    """The same memory as a storage of its own, where it lies in one piece in main memory."""
    storage = tensor.untyped_storage()
    if tensor.device.type != "cpu" or not tensor.is_contiguous() or storage.nbytes() == tensor.nbytes:
        return tensor
    first = tensor.storage_offset() * tensor.element_size()
    part = storage[first : first + tensor.nbytes]
    return torch.empty(0, dtype=tensor.dtype).set_(part, 0, tensor.size(), tensor.stride())


def save_tensors(folder: Path, tensors: TensorMap, ranks: Ranks | None = None) -> dict[str, Sum]:
    """Write a flat map of tensors; every rank calls this together.

    Returns:
        The files that this rank has written, by name.

    Raises:
        StorageError: a rank could not write; raised on all of them.
    """
    ranks = ranks or Ranks()
    files = TensorFiles()
    writer = _Writer(folder, files)
    try:
        dcp.save(
            dict(tensors),
            storage_writer=writer,
            planner=_Planner(),
            process_group=ranks.group,
            no_dist=ranks.size == 1,
        )
        sync_directory(folder)
    except (OSError, RuntimeError, dcp.api.CheckpointException) as error:
        reason = _reason(files.error or error) + _room(folder, tensors, files.error)
        raise StorageError(f"cannot write checkpoint {folder}: {reason}") from error
    return files.sums


def _room(folder: Path, tensors: TensorMap, error: OSError | None) -> str:
    """What a full disk lacks."""
    if error is None or error.errno != errno.ENOSPC:
        return ""
    needed = sum(local.numel() * local.element_size() for value in tensors.values() for local in local_tensors(value))
    return f"; this rank needs about {needed:,} bytes there, {shutil.disk_usage(folder).free:,} are free"


def local_tensors(value: Any) -> list[Tensor]:
    """This rank's parts of a tensor or sharded tensor."""
    return [shard.tensor for shard in value.local_shards()] if hasattr(value, "local_shards") else [value]


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
    ranks = Ranks()
    if wanted or ranks.size > 1:
        _load(folder, wanted, ranks)
    return left


def _load(folder: Path, wanted: TensorMap, ranks: Ranks) -> None:
    try:
        dcp.load(wanted, storage_reader=TensorReader(folder), no_dist=ranks.size == 1)
    except (OSError, RuntimeError, dcp.api.CheckpointException) as error:
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


def _reason(error: BaseException) -> str:
    failures = getattr(error, "failures", None)
    if failures:  # a CheckpointException holds the cause of each rank
        return "; ".join(f"rank {rank}: {cause[0]}" for rank, cause in failures.items())
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
