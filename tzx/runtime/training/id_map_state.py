"""Id maps in checkpoints: ids, counts and steps last seen, by row, so that any number of ranks can go on with them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor, ShardedTensorMetadata, TensorProperties

from tzx.runtime.embedding.dynamic.id_map import WHOLE, IdMap, Part
from tzx.runtime.embedding.dynamic.ids import DynamicIds
from tzx.runtime.errors import StorageError
from tzx.runtime.training.tensor_files import TensorMap, load_tensors

FOLDER = "id_maps"


def map_state(ids: DynamicIds, part: Part = WHOLE) -> TensorMap:
    """State of all maps by `<map>/<name>`: tensors of which each rank holds what its share of the map knows."""
    return {
        f"{of_map}/{name}": _joined(torch.from_numpy(values), id_map, part)
        for of_map, id_map in _maps(ids)
        for name, values in id_map.state().items()
    }


def load_maps(checkpoint: Path, ids: DynamicIds, step: int, part: Part = WHOLE) -> list[str]:
    """Fill maps from a checkpoint of any number of ranks.

    Args:
        checkpoint: a checkpoint directory.
        ids: maps, which forget what they know.
        step: where training goes on; in a run that starts anew from a checkpoint, steps count from 0.
        part: the share of the maps that is held here.

    Returns:
        The maps that are left empty, each with the reason.
    """
    if not (checkpoint / FOLDER).is_dir():
        return [f"{spec.name} (not in the checkpoint)" for spec in ids.specs]
    tensors = map_state(ids, part)
    left = load_tensors(checkpoint / FOLDER, tensors)
    missing = {message.partition(" ")[0].rpartition("/")[0] for message in left}
    for of_map, id_map in _maps(ids):
        if of_map not in missing:
            _load(id_map, {name: _own(tensors[f"{of_map}/{name}"]) for name in id_map.state()}, step, checkpoint)
    return left


def _maps(ids: DynamicIds) -> Iterator[tuple[str, IdMap]]:
    for table in ids.tables:
        for name, id_map in table.maps.items():
            yield f"{table.spec.name}/{name}", id_map


def _load(id_map: IdMap, state: Mapping[str, np.ndarray], step: int, checkpoint: Path) -> None:
    try:
        id_map.load({**state, "last_steps": np.minimum(state["last_steps"], step)})
    except StorageError as error:
        raise StorageError(f"checkpoint {checkpoint / FOLDER} is damaged: {error}") from error


def _joined(values: Tensor, id_map: IdMap, part: Part) -> Any:
    if part.world_size == 1:
        return values
    spans = {rank: id_map.span(Part(rank, part.world_size)) for rank in range(part.world_size)}
    pieces = {
        rank: ShardMetadata([start], [end - start], f"rank:{rank}/cpu")
        for rank, (start, end) in spans.items()
        if end > start
    }
    whole = ShardedTensorMetadata(
        list(pieces.values()), torch.Size([id_map.rows]), TensorProperties(dtype=values.dtype)
    )
    mine = [Shard(values, pieces[part.rank])] if part.rank in pieces else []
    return ShardedTensor._init_from_local_shards_and_global_metadata(mine, whole)


def _own(tensor: Any) -> np.ndarray:
    if isinstance(tensor, Tensor) and not hasattr(tensor, "local_shards"):
        return tensor.numpy()
    shards = tensor.local_shards()
    return shards[0].tensor.numpy() if shards else np.zeros(0, np.int64)
