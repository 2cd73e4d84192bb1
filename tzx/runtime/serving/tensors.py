"""A batch as a list of plain tensors and back: what torch.export traces and what the predictor feeds.

No number of a batch is an argument: B is read from `dense`, which every batch has (with no columns when the model has
no dense feature), T from `positions`, the rest from the tensors that carry it.

Legend: B rows, F features of a section, N ids, M sequence elements, T longest sequence of the batch.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tzx.runtime.data.batch import Batch, BatchLayout, Elements, Jagged

_SECTIONS = ("ids", "weighted_ids", "sequence_ids")


def tensor_names(layout: BatchLayout) -> tuple[str, ...]:
    """Names of the tensors of `flatten`, in its order, for any batch of this layout."""
    return tuple(_names(layout))


def flatten(batch: Batch) -> list[Tensor]:
    """Tensors of a batch: `dense` [B, D], `<section>.lengths` [F, B], `sequence.<feature>.positions` [T], and so on."""
    layout, tensors = batch.layout, [batch.dense]
    for section in _sections(layout):
        jagged: Jagged = getattr(batch, section)
        tensors += [jagged.values, jagged.lengths.view(len(getattr(layout, section)), batch.size)]
        if section == "weighted_ids":
            tensors.append(_present(jagged.weights))
    for name in layout.sequence_ids + layout.sequence_dense:
        elements = batch.sequences[name]
        tensors.append(elements.values)
        if name in layout.sequence_ids:
            tensors.append(_present(elements.key_lengths))
        tensors += [elements.seq_lengths, elements.positions]
    return tensors


def unflatten(tensors: Sequence[Tensor], layout: BatchLayout) -> Batch:
    """The batch that `flatten` took apart; sizes come from tensor shapes, so it can be traced."""
    left = iter(tensors)
    dense = next(left)
    present = _sections(layout)
    ids, weighted, in_sequences = (_jagged(left, name) if name in present else _no_ids(dense) for name in _SECTIONS)
    sequences = {name: _elements(left, True) for name in layout.sequence_ids}
    sequences |= {name: _elements(left, False) for name in layout.sequence_dense}
    return Batch(dense.shape[0], layout, dense, ids, weighted, in_sequences, sequences)


class FlatModel(nn.Module):
    """A model as a function of plain tensors, with its predictions in a fixed order."""

    def __init__(self, model: nn.Module, layout: BatchLayout, outputs: Sequence[str]) -> None:
        super().__init__()
        self.model: Any = model
        self.layout = layout
        self.outputs = tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Predictions named in `outputs`, for tensors in the order of `tensor_names`."""
        predictions = self.model.predict(unflatten(tensors, self.layout))
        return tuple(predictions[name] for name in self.outputs)


def dynamic_dims(layout: BatchLayout) -> tuple[tuple[int, ...], ...]:
    """For each tensor of `flatten`, the dimensions whose size differs from batch to batch."""
    return tuple((1,) if name.split(".")[0] in _SECTIONS and name.endswith(".lengths") else (0,)
                 for name in tensor_names(layout))  # fmt: skip


def _sections(layout: BatchLayout) -> list[str]:
    return [name for name in _SECTIONS if getattr(layout, name)]


def _names(layout: BatchLayout) -> Iterator[str]:
    yield "dense"
    for section in _sections(layout):
        yield from (f"{section}.values", f"{section}.lengths")
        if section == "weighted_ids":
            yield f"{section}.weights"
    for name in layout.sequence_ids + layout.sequence_dense:
        yield f"sequence.{name}.values"
        if name in layout.sequence_ids:
            yield f"sequence.{name}.key_lengths"
        yield from (f"sequence.{name}.seq_lengths", f"sequence.{name}.positions")


def _jagged(left: Iterator[Tensor], section: str) -> Jagged:
    values, lengths = next(left), next(left).reshape(-1)
    return Jagged(values, lengths, next(left) if section == "weighted_ids" else None)


def _no_ids(dense: Tensor) -> Jagged:
    return Jagged(dense.new_zeros(0, dtype=torch.int64), dense.new_zeros(0, dtype=torch.int32))


def _elements(left: Iterator[Tensor], is_sparse: bool) -> Elements:
    values = next(left)
    return Elements(values, next(left) if is_sparse else None, next(left), next(left))


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "packing gives weights and key lengths to the features that have them"
    return tensor
