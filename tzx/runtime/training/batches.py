"""Steps in which every rank takes part, though ranks may run out of batches at different times.

Sharded tables exchange ids in every step, so a rank that stopped early would hang the others. Before each step the
ranks agree whether anyone still has a batch; one that has none takes part with a filler, which changes nothing.
They also learn the largest batch, as TorchRec wants batches of one size: on CPU it cannot reduce row-wise tables else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist

from tzx.runtime.data.batch import Batch, Jagged
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.data.packing import pack
from tzx.runtime.features import Feature, FeatureSet
from tzx.runtime.features.arrays import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.protos.data_pb2 import DataConfig
from tzx.runtime.training.event_time import time_of_step
from tzx.runtime.training.process import Process


@dataclass
class Requests:
    """Set on this rank alone, by a signal or by a save that failed; other ranks learn of it at the next common step."""

    stop: bool = False  # save and leave
    save: bool = False  # save and go on
    failed: bool = False  # a save beside the training could not be written


class LockstepBatches:
    """Iterate over (batch, requests) with the same number of steps on every rank.

    What any rank requests is requested of all ranks in the same step. Nothing else may decide to stop: a rank that
    acted on its own request at once would leave the others waiting for it. When a stop is requested the batch is not to
    be used: a rank may have given up waiting for its own. Each batch gets the event time of the step, the one that
    `quorum` of the ranks have reached.
    """

    def __init__(
        self, batches: Iterator[Batch], filler: Batch, process: Process, requests: Requests, quorum: float = 0.5
    ) -> None:
        self._batches = batches
        self._filler = filler
        self._process = process
        self._requests = requests
        self._quorum = quorum

    def __iter__(self) -> Iterator[tuple[Batch, Requests]]:
        while True:
            batch = next(self._batches, None)
            largest, event_time, requests = self._agree(batch)
            if not largest and not requests.stop:
                return
            taken = self._filler if batch is None else batch
            taken.peer_size, taken.event_time = largest, event_time
            yield taken, requests

    def _agree(self, batch: Batch | None) -> tuple[int, int, Requests]:
        own, process = self._requests, self._process
        times = [0] * process.world_size
        times[process.rank] = batch.event_time if batch is not None else 0
        known = [batch.size if batch is not None else 0, own.stop, own.save, own.failed, *times]
        own.save = False
        if process.world_size > 1:
            shared = torch.tensor(known, dtype=torch.int64)
            dist.all_reduce(shared, op=dist.ReduceOp.MAX)
            known = shared.tolist()
        return known[0], time_of_step(known[4:], self._quorum), Requests(*map(bool, known[1:4]))


def make_filler(features: FeatureSet, loader: DataLoader, config: DataConfig) -> Batch:
    """A batch of one row without ids, for a rank that has none of its own: no row of a table is touched."""
    batch = pack({f.name: _nothing(f) for f in features.features}, loader.layout, 1)
    kinds = {name: loader.schema.field(name).type for name in config.label_fields}
    lists = {name: kind.value_type for name, kind in kinds.items() if pa.types.is_list(kind)}
    return replace(
        batch,
        is_filler=True,
        labels={name: torch.zeros(1, dtype=_label_dtype(kind)) for name, kind in kinds.items() if name not in lists},
        jagged_labels={
            name: Jagged(torch.zeros(0, dtype=_label_dtype(kind)), torch.zeros(1, dtype=torch.int32))
            for name, kind in lists.items()
        },
        sample_weights={name: torch.ones(1) for name in config.sample_weight_fields},
    )


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
