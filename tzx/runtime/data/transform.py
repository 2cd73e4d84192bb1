"""From raw rows to the flat block of a batch; the part of loading that worker processes do. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from tzx.runtime.data.flat import Allocate, Array, Bytes, Contents, flatten
from tzx.runtime.data.labels import label_columns, weight_columns
from tzx.runtime.data.layout import BatchLayout
from tzx.runtime.features.arrays import FeatureData

SAMPLE_MASK = "__SAMPLE_MASK__"


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

    def __call__(self, batch: pa.RecordBatch, key: tuple[int, ...], allocate: Allocate) -> tuple[Contents, Bytes]:
        """The batch as a block of memory. `key` seeds what is random, so that it depends on the rows alone."""
        columns: dict[str, list[Array]] = {}
        columns |= label_columns(batch, self.labels)
        columns |= weight_columns(batch, self.weights)
        if self.is_training and self.mask_probability > 0:
            batch = self._with_mask(batch, key)
        arrays = self.features.generate(batch, self.is_training)
        contents, block = flatten(arrays, self.layout, batch.num_rows, columns, allocate)
        contents.bad_values = self.features.take_bad_values()
        return contents, block

    def _with_mask(self, batch: pa.RecordBatch, key: tuple[int, ...]) -> pa.RecordBatch:
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        mask = generator.random(batch.num_rows, dtype=np.float32) < self.mask_probability
        fields = [*batch.schema, pa.field(SAMPLE_MASK, pa.bool_())]
        schema = pa.schema(fields, metadata=batch.schema.metadata)
        return pa.RecordBatch.from_arrays([*batch.columns, pa.array(mask)], schema=schema)
