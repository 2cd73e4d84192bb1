"""Optimizer state as a flat map of tensors, named `<parameter>/<state>`, which checkpoints save and load.

A fresh torch optimizer has no state at all, so a load into its own state dict would silently drop everything. Here the
checkpoint's metadata decides what dense state there is, and it is put into the optimizer afterwards.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from tzx.runtime.training.optimizers import ScheduledOptimizer
from tzx.runtime.training.tensor_files import TensorMap, load_tensors, read_metadata


def table_state(fused: Any, prefix: str) -> TensorMap:
    """Live state of the fused table optimizer; loading into these tensors loads the optimizer."""
    state = fused.state_dict()["state"]
    return {
        f"{parameter.removeprefix(prefix)}/{name}": value
        for parameter, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor) or hasattr(value, "local_shards")
    }


def dense_state(optimizers: Iterable[ScheduledOptimizer], prefix: str) -> TensorMap:
    """State of the dense optimizers; numbers become tensors."""
    found: TensorMap = {}
    for scheduled in optimizers:
        for name, parameter in scheduled.named_parameters():
            for key, value in scheduled.optimizer.state.get(parameter, {}).items():
                tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
                found[f"{name.removeprefix(prefix)}/{key}"] = tensor
    return found


def load_dense_state(folder: Path, optimizers: Iterable[ScheduledOptimizer], prefix: str) -> list[str]:
    """Put the saved state of every parameter that has one into its optimizer; returns parameters left without."""
    saved: dict[str, dict[str, TensorStorageMetadata]] = {}
    for key, entry in read_metadata(folder).state_dict_metadata.items():
        if isinstance(entry, TensorStorageMetadata):
            parameter_name, _, state_name = key.rpartition("/")
            saved.setdefault(parameter_name, {})[state_name] = entry
    wanted: TensorMap = {}
    left = []
    for scheduled in optimizers:
        for name, parameter in scheduled.named_parameters():
            short = name.removeprefix(prefix)
            entries = saved.get(short, {})
            state = {key: _empty_like_saved(entry, parameter.device) for key, entry in entries.items()}
            if not state or any(t.dim() and t.shape != parameter.shape for t in state.values()):
                left.append(name)
                continue
            wanted |= {f"{short}/{key}": tensor for key, tensor in state.items()}
            scheduled.optimizer.state[parameter] = state
    load_tensors(folder, wanted)
    return left


def accumulated_gradients(optimizers: Iterable[ScheduledOptimizer], prefix: str) -> TensorMap:
    """Gradients between two updates of the dense parameters; none right after an update, which clears them."""
    return {
        name.removeprefix(prefix): parameter.grad
        for scheduled in optimizers
        for name, parameter in scheduled.named_parameters()
        if parameter.grad is not None
    }


def load_gradients(folder: Path, optimizers: Iterable[ScheduledOptimizer], prefix: str) -> None:
    """Go on accumulating where `accumulated_gradients` were saved."""
    parameters = {n.removeprefix(prefix): p for scheduled in optimizers for n, p in scheduled.named_parameters()}
    saved = read_metadata(folder).state_dict_metadata
    gradients = {name: torch.zeros_like(parameters[name]) for name in parameters.keys() & saved.keys()}
    load_tensors(folder, gradients)
    for name, gradient in gradients.items():
        parameters[name].grad = gradient


def _empty_like_saved(entry: TensorStorageMetadata, device: torch.device) -> Tensor:
    # torch keeps scalar step counts on the CPU unless an optimizer is capturable or fused
    where = device if entry.size else torch.device("cpu")
    return torch.empty(tuple(entry.size), dtype=entry.properties.dtype, device=where)
