"""A batch as a small set of flat tensors.

* Ids of all plain sparse features share one buffer, feature after feature ("key-major"), as TorchRec lays out its
  KeyedJaggedTensor, so that a view is all it takes to make one.
* Sequences share buffers in the same way; per-feature tensors are views into them.
* Knows nothing of TorchRec: serving imports this module and must not import that one.

Legend: B rows, F features of a section, N ids, M sequence elements, T longest sequence of the batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import torch
from torch import Tensor

T = TypeVar("T")


class FeatureShape(Protocol):
    """The part of a feature that decides where it lies in a batch."""

    name: str
    is_sequence: bool
    is_sparse: bool
    is_weighted: bool
    value_dim: int


@dataclass(frozen=True)
class BatchLayout:
    """Which features lie in which section of a batch, in config order."""

    dense: tuple[str, ...] = ()
    dense_dims: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()
    weighted_ids: tuple[str, ...] = ()
    sequence_ids: tuple[str, ...] = ()
    sequence_dense: tuple[str, ...] = ()

    @staticmethod
    def from_features(features: Iterable[FeatureShape]) -> "BatchLayout":
        """Sort features into sections."""
        features = list(features)
        dense = [f for f in features if not f.is_sparse and not f.is_sequence]
        sparse = [f for f in features if f.is_sparse and not f.is_sequence]
        return BatchLayout(
            dense=tuple(f.name for f in dense),
            dense_dims=tuple(f.value_dim for f in dense),
            ids=tuple(f.name for f in sparse if not f.is_weighted),
            weighted_ids=tuple(f.name for f in sparse if f.is_weighted),
            sequence_ids=tuple(f.name for f in features if f.is_sparse and f.is_sequence),
            sequence_dense=tuple(f.name for f in features if not f.is_sparse and f.is_sequence),
        )


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
    reserved: pa.RecordBatch | None = None
    position: Mapping[str, int] | None = None  # rows consumed so far by source, for resuming

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
        """Copy to `device`."""
        return map_tensors(self, lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Copy to page-locked memory, from which a GPU copies asynchronously."""
        return map_tensors(self, lambda t: t.pin_memory())

    def record_stream(self, stream: torch.Stream) -> None:
        """Tell the allocator that `stream` uses these tensors."""
        map_tensors(self, lambda t: (t.record_stream(stream), t)[1])  # type: ignore[arg-type]


def map_tensors(value: T, fn: Any) -> T:
    """Rebuild dataclasses and dicts with `fn` applied to every tensor in them."""
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, dict):
        return {k: map_tensors(v, fn) for k, v in value.items()}  # type: ignore[return-value]
    if isinstance(value, (Batch, Jagged, Elements)) and is_dataclass(value):
        return type(value)(**{f.name: map_tensors(getattr(value, f.name), fn) for f in fields(value)})
    return value
