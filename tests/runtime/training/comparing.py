"""What checkpoints and sessions hold, to be compared bit for bit."""

from pathlib import Path

import torch

from tzx.runtime.training.tensor_files import load_tensors, read_metadata


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    entries = read_metadata(folder).state_dict_metadata
    found = {name: torch.zeros(tuple(e.size), dtype=e.properties.dtype) for name, e in entries.items()}
    assert load_tensors(folder, found) == []
    return found


def assert_same(before: Path, after: Path) -> None:
    """Parameters and optimizer state, bit for bit."""
    for folder in ("model", "optimizer"):
        old, new = tensors(before / folder), tensors(after / folder)
        assert old.keys() == new.keys()
        assert [name for name in old if not torch.equal(old[name], new[name])] == []


def pieces(session):
    """This rank's pieces of tables and their optimizer state: (table, what, first row) -> values."""
    states = session.table_optimizer.optimizer.state_dict()["state"]
    found = {}
    for name, weight in session.sharded.state_dict().items():
        if ".collection." in name:
            for what, value in {"weight": weight, **states.get(name, {})}.items():
                shards = value.local_shards() if hasattr(value, "local_shards") else []
                placed = [(s.tensor, s.metadata.shard_offsets[0]) for s in shards] or [(value, 0)]
                for tensor, row in placed if isinstance(value, torch.Tensor) or shards else []:
                    if tensor.dim():
                        found[name.split(".")[-2], what.split(".")[-1], row] = tensor.detach().clone()
    return found
