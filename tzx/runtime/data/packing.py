"""From what features yield to a Batch whose tensors are views on one block of memory."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch, Elements, Jagged
from tzx.runtime.data.flat import Bytes, Contents, Section, flatten
from tzx.runtime.data.layout import BatchLayout
from tzx.runtime.features.arrays import FeatureData

_DTYPES = {"<i8": torch.int64, "<i4": torch.int32, "<f4": torch.float32}
# Many sections hold nothing, and all of those can share a tensor.
_NOTHING = {code: torch.empty(0, dtype=dtype) for code, dtype in _DTYPES.items()}
_NO_BYTES = torch.empty(0, dtype=torch.uint8)


def pack(arrays: Mapping[str, FeatureData], layout: BatchLayout, size: int) -> Batch:
    """Lay what `FeatureSet.generate` returned for `size` rows into a Batch without labels."""
    block = Block()
    contents, _ = flatten(arrays, layout, size, {}, block.allocate)
    return unpack(contents, block.tensor, layout)


class Block:
    """One block of memory, allocated when its size is known; page-locked where a GPU is fed."""

    def __init__(self, pinned: bool = False) -> None:
        self.pinned = pinned
        self.tensor = _NO_BYTES

    def allocate(self, nbytes: int) -> Bytes:
        """The block's bytes as an array to fill."""
        self.tensor = torch.empty(nbytes, dtype=torch.uint8, pin_memory=self.pinned)
        return self.tensor.numpy()


def unpack(contents: Contents, block: Tensor, layout: BatchLayout) -> Batch:
    """Views of a Batch on `block`, uint8 [bytes], as its table of `contents` says."""
    tensors = _tensors(contents.sections, block)
    weighted = Jagged(tensors["weighted_ids.values"], tensors["weighted_ids.lengths"], tensors["weighted_ids.weights"])
    batch = Batch(
        size=contents.size,
        layout=layout,
        dense=tensors["dense"],
        ids=Jagged(tensors["ids.values"], tensors["ids.lengths"]),
        weighted_ids=weighted,
        sequence_ids=Jagged(tensors["sequence_ids.values"], tensors["sequence_ids.lengths"]),
        sequences=_sequences(contents, tensors),
        bad_values=contents.bad_values,
    )
    for name, tensor in tensors.items():
        kind, _, column = name.partition("/")
        if kind == "label":
            batch.labels[column] = tensor
        elif kind == "sample_weight":
            batch.sample_weights[column] = tensor
        elif kind == "label_values":
            batch.jagged_labels[column] = Jagged(tensor, tensors[f"label_lengths/{column}"])
    return batch


def _tensors(sections: Mapping[str, Section], block: Tensor) -> dict[str, Tensor]:
    """All sections by slicing, the one call that does not let another thread take the interpreter, as far as can be."""
    typed: dict[str, Tensor] = {}
    tensors = {}
    for name, section in sections.items():
        code, shape = section.dtype, section.shape
        if shape == (0,):
            tensors[name] = _NOTHING[code]
            continue
        if code not in typed:
            typed[code] = block.view(_DTYPES[code])
        first = section.offset // typed[code].itemsize
        flat = typed[code][first : first + math.prod(shape)]
        tensors[name] = flat if len(shape) == 1 else flat.view(shape)
    return tensors


def _sequences(contents: Contents, tensors: Mapping[str, Tensor]) -> dict[str, Elements]:
    if not contents.sequences:
        return {}
    seq_lengths = tensors["seq_lengths"].view(len(contents.sequences), contents.size)
    sequences = {}
    for name, span in contents.sequences.items():
        dense = tensors.get(f"sequence/{name}")
        sequences[name] = Elements(
            values=tensors["sequence_ids.values"][slice(*span.ids)] if dense is None else dense,
            key_lengths=tensors["key_lengths"][slice(*span.elements)] if dense is None else None,
            seq_lengths=seq_lengths[span.row],
            positions=tensors["positions"][: span.longest],
        )
    return sequences
