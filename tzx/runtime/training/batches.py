"""Steps in which every rank takes part, though ranks may run out of batches at different times.

Sharded tables exchange ids in every step, so a rank that stopped early would hang the others. Before each step the
ranks agree whether anyone still has a batch; one that has none repeats a batch and marks it as filling.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.data.packing import pack
from tzx.runtime.features import Feature, FeatureSet
from tzx.runtime.features.arrays import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.training.process import Process


class LockstepBatches:
    """Iterate over (batch, is_filling, stop) with the same number of steps on every rank.

    `request_stop` on any rank makes `stop` true on all ranks in the same step.
    """

    def __init__(self, batches: Iterator[Batch], filler: Batch, process: Process) -> None:
        self._batches = batches
        self._filler = filler
        self._process = process
        self._stop_requested = False

    def request_stop(self) -> None:
        """Ask all ranks to stop at their next common step."""
        self._stop_requested = True

    def __iter__(self) -> Iterator[tuple[Batch, bool, bool]]:
        while True:
            batch = next(self._batches, None)
            any_batch, stop = self._agree(batch is not None)
            if not any_batch:
                return
            if batch is not None:
                self._filler = batch
            yield self._filler, batch is None, stop

    def _agree(self, has_batch: bool) -> tuple[bool, bool]:
        if self._process.world_size == 1:
            return has_batch, self._stop_requested
        flags = torch.tensor([has_batch, self._stop_requested], dtype=torch.int32)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags[0]), bool(flags[1])


def one_row_batch(features: FeatureSet, loader: DataLoader, labels: Iterable[str]) -> Batch:
    """A batch of one row without ids, for a rank that never gets a batch of its own."""
    batch = pack({f.name: _nothing(f) for f in features.features}, loader.layout, 1)
    dtypes = {name: loader.schema.field(name).type for name in labels}
    zeros = {name: torch.zeros(1, dtype=_label_dtype(kind)) for name, kind in dtypes.items()}
    return replace(batch, labels=zeros)


def _label_dtype(kind: pa.DataType) -> torch.dtype:
    return torch.float32 if pa.types.is_floating(kind) else torch.int64


def _nothing(feature: Feature) -> FeatureData:
    ids, none = np.empty(0, np.int64), np.empty(0, np.int32)
    zero = np.zeros(1, np.int32)
    if feature.is_sequence and feature.is_sparse:
        return SequenceSparseData(ids, none, zero)
    if feature.is_sequence:
        return SequenceDenseData(np.empty((0, feature.value_dim), np.float32), zero)
    if feature.is_sparse:
        return SparseData(ids, zero, np.empty(0, np.float32) if feature.is_weighted else None)
    return DenseData(np.zeros((1, feature.value_dim), np.float32))
