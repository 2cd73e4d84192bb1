"""A batch as a small set of flat tensors.

* Ids of all plain sparse features share one buffer, feature after feature ("key-major"), as TorchRec lays out its
  KeyedJaggedTensor, so that a view is all it takes to make one.
* Sequences share buffers in the same way; per-feature tensors are views into them.
* All tensors of a batch made by `pack` are views on one block of memory, so that moving it to a GPU is one copy.
* Knows nothing of TorchRec: serving imports this module and must not import that one.

Legend: B rows, F features of a section, N ids, M sequence elements, T longest sequence of the batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from tzx.runtime.data.layout import BatchLayout, FeatureShape

__all__ = ["Batch", "BatchLayout", "Elements", "FeatureShape", "Jagged", "map_tensors"]

T = TypeVar("T")


@dataclass
class Jagged:
    """Key-major jagged ids: `values` int64 [N], `lengths` int32 [F*B], optional `weights` float32 [N]."""

    values: Tensor
    lengths: Tensor
    weights: Tensor | None = None


@dataclass
class Elements:
    """One sequence feature.

    `values` int64 [N] ids or float32 [M, dim]; `key_lengths` int32 [M] ids per element (None for dense sequences);
    `seq_lengths` int32 [B] elements per row; `positions` int64 [T] = 0..T-1, whose size alone carries T, so that a
    traced graph takes T as an input shape instead of reading it from data.
    """

    values: Tensor
    key_lengths: Tensor | None
    seq_lengths: Tensor
    positions: Tensor


@dataclass
class Batch:
    """B rows ready for the model. Labels are int64 or float32 [B]; `reserved` keeps raw columns for prediction."""

    size: int
    layout: BatchLayout
    dense: Tensor  # float32 [B, sum of dense_dims]
    ids: Jagged
    weighted_ids: Jagged
    sequence_ids: Jagged  # ids of all sparse sequences; lengths = ids per row
    sequences: dict[str, Elements] = field(default_factory=dict)
    labels: dict[str, Tensor] = field(default_factory=dict)
    sample_weights: dict[str, Tensor] = field(default_factory=dict)
    jagged_labels: dict[str, Jagged] = field(default_factory=dict)  # labels that are lists; lengths [B]
    reserved: pa.RecordBatch | None = None
    position: Mapping[str, int] | None = None  # where this rank's epoch goes on after this batch
    is_filler: bool = False  # of a rank that has run out of data: takes part in a step, but is to change nothing
    peer_size: int = 0  # rows of the largest batch of this step on any rank; 0 where nobody asked
    event_time: int = 0  # latest of its rows, then that of the step on all ranks, in Unix seconds; 0 where unknown
    has_rows: bool = False  # ids of tables that grow with the data have been replaced by rows
    bad_values: Mapping[str, int] = field(default_factory=dict)  # taken as missing, by feature
    rows: npt.NDArray[np.int64] | None = None  # [B] numbers of the rows in the data set

    def dense_of(self, name: str) -> Tensor:
        """Values of a dense feature, [B, value_dim]."""
        at = self.layout.dense.index(name)
        start = sum(self.layout.dense_dims[:at])
        return self.dense[:, start : start + self.layout.dense_dims[at]]

    def ids_of(self, name: str) -> tuple[Tensor, Tensor]:
        """Ids [N] and lengths [B] of one plain sparse feature; reads sizes from data, so not for the hot path."""
        weighted = name in self.layout.weighted_ids
        section, keys = (self.weighted_ids, self.layout.weighted_ids) if weighted else (self.ids, self.layout.ids)
        at = keys.index(name)
        lengths = section.lengths.view(len(keys), self.size)
        start = int(lengths[:at].sum())
        return section.values[start : start + int(lengths[at].sum())], lengths[at]

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """Copy to `device`, each block of memory once; what lies on a CPU already stays as it is."""
        if device.type == self.dense.device.type == "cpu":
            return self
        return _by_storage(self, lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Copy to page-locked memory, from which a GPU copies asynchronously."""
        return _by_storage(self, lambda t: t if t.is_pinned() else t.pin_memory())

    def record_stream(self, stream: torch.Stream) -> None:
        """Tell the allocator that `stream` uses these tensors."""

        def record(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)  # type: ignore[arg-type]
            return tensor

        _by_storage(self, record)


def map_tensors(value: T, fn: Any) -> T:
    """Rebuild dataclasses and dicts with `fn` applied to every tensor in them."""
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, dict):
        return {k: map_tensors(v, fn) for k, v in value.items()}  # type: ignore[return-value]
    if isinstance(value, (Batch, Jagged, Elements)):
        return type(value)(**{f.name: map_tensors(getattr(value, f.name), fn) for f in fields(value)})
    return value


def _by_storage(batch: Batch, move: Callable[[Tensor], Tensor]) -> Batch:
    """Apply `move` to each distinct block of memory as bytes, and rebuild the views on what it returns."""
    moved: dict[int, tuple[Tensor, Tensor]] = {}

    def rebuild(tensor: Tensor) -> Tensor:
        if tensor.numel() == 0:
            return move(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in moved:
            flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)  # type: ignore[call-overload]
            moved[storage.data_ptr()] = (flat, move(flat))
        flat, copy = moved[storage.data_ptr()]
        if copy is flat:
            return tensor
        view = torch.empty(0, dtype=tensor.dtype, device=copy.device)
        return view.set_(copy.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())

    return map_tensors(batch, rebuild)
