"""From raw rows to the flat block of a batch; the part of loading that worker processes do. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tzx.runtime.data.flat import Allocate, Array, Bytes, Contents, flatten
from tzx.runtime.data.labels import cut_columns, label_columns, weight_columns
from tzx.runtime.data.layout import BatchLayout
from tzx.runtime.features.arrays import FeatureData, cut

SAMPLE_MASK = "__SAMPLE_MASK__"

Key = tuple[int, ...]


class FeatureGenerator(Protocol):
    """The part of a FeatureSet that turns rows into arrays."""

    def generate(self, record_batch: pa.RecordBatch, is_training: bool = False) -> Mapping[str, FeatureData]: ...  # noqa: D102

    def take_bad_values(self) -> dict[str, int]: ...  # noqa: D102


@dataclass(frozen=True)
class Transform:
    """What to make of raw rows. Holds all it needs, so that it can be sent to a process."""

    features: FeatureGenerator
    layout: BatchLayout
    labels: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    is_training: bool = False
    mask_probability: float = 0.0

    def __call__(self, batch: pa.RecordBatch, key: Key, allocate: Allocate) -> tuple[Contents, Bytes]:
        """The batch as a block of memory. `key` seeds what is random, so that it depends on the rows alone."""
        columns = self._columns(batch)
        if self._has_mask:
            batch = _with_mask(batch, self._mask(batch.num_rows, key))
        arrays = self.features.generate(batch, self.is_training)
        contents, block = flatten(arrays, self.layout, batch.num_rows, columns, allocate)
        contents.bad_values = self.features.take_bad_values()
        return contents, block

    def several(
        self, whole: pa.RecordBatch, bounds: Sequence[int], keys: Sequence[Key], allocate: Sequence[Allocate]
    ) -> list[Contents]:
        """Batches of rows [bounds[i], bounds[i + 1]) of `whole`, each as by itself, but with all features made at once.

        Calls and changes of thread cost more than the work on small batches. Bad values must not be tolerated, as
        nobody could tell in which batch they were.
        """
        rows = [stop - start for start, stop in pairwise(bounds)]
        columns = cut_columns(self._columns(whole), bounds)
        if self._has_mask:
            masks = [self._mask(count, key) for count, key in zip(rows, keys, strict=True)]
            whole = _with_mask(whole, np.concatenate(masks))
        arrays = self.features.generate(whole, self.is_training)
        pieces = {name: cut(data, bounds) for name, data in arrays.items()}
        return [
            flatten({name: piece[i] for name, piece in pieces.items()}, self.layout, count, columns[i], allocate[i])[0]
            for i, count in enumerate(rows)
        ]

    def _columns(self, batch: pa.RecordBatch) -> dict[str, list[Array]]:
        return {**dict(label_columns(batch, self.labels)), **dict(weight_columns(batch, self.weights))}

    @property
    def _has_mask(self) -> bool:
        return self.is_training and self.mask_probability > 0

    def _mask(self, rows: int, key: Key) -> npt.NDArray[np.bool_]:
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        return generator.random(rows, dtype=np.float32) < self.mask_probability


def _with_mask(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    fields = [*batch.schema, pa.field(SAMPLE_MASK, pa.bool_())]
    schema = pa.schema(fields, metadata=batch.schema.metadata)
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(mask)], schema=schema)
