"""Copies of tensors for a save that goes on beside the training, which changes the originals meanwhile."""

import copy
from collections.abc import Hashable
from dataclasses import replace

import torch
from torch import Tensor
from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor
from torch.distributed.remote_device import _remote_device

from tzx.runtime.training.checkpoint import Snapshot
from tzx.runtime.training.tensor_files import TensorMap


class Staging:
    """Main memory for one snapshot at a time, kept between saves: to get it anew costs more than to fill it."""

    def __init__(self) -> None:
        self._buffers: dict[Hashable, Tensor] = {}

    def copy(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with copies of all tensors of this rank, in main memory."""
        folders = {folder: self._copy_map(folder, tensors) for folder, tensors in snapshot.folders.items()}
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return replace(snapshot, folders=folders)

    def _copy_map(self, folder: str, tensors: TensorMap) -> TensorMap:
        return {
            name: self._copy_shards((folder, name), value)
            if hasattr(value, "local_shards")
            else self._copy((folder, name), value)
            for name, value in tensors.items()
        }

    def _copy_shards(self, key: tuple[str, str], tensor: ShardedTensor) -> ShardedTensor:
        metadata = copy.deepcopy(tensor.metadata())
        for shard in metadata.shards_metadata:
            assert shard.placement is not None
            shard.placement = _remote_device(f"rank:{shard.placement.rank()}/cpu")
        by_offset = {tuple(shard.shard_offsets): shard for shard in metadata.shards_metadata}
        shards = []
        for local in tensor.local_shards():
            offset = tuple(local.metadata.shard_offsets)
            shards.append(Shard(self._copy((*key, offset), local.tensor), by_offset[offset]))
        return ShardedTensor._init_from_local_shards_and_global_metadata(
            shards, metadata, process_group=tensor._process_group
        )

    def _copy(self, key: Hashable, tensor: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.is_cuda)
            self._buffers[key] = buffer
        return buffer.copy_(tensor.detach(), non_blocking=True)
