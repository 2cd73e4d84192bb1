"""Data sets in which every row carries its own number, so that tests can see which rows came in which order."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format

from tzx.runtime.data.batch import Batch, map_tensors
from tzx.runtime.data.loader import DataLoader, LoaderOptions
from tzx.runtime.data.workers import Worker
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos import data_pb2, feature_pb2

FEATURES = """
id_feature { feature_name: "row" expression: "user:row" num_buckets: 1000000000 embedding_dim: 4 }
raw_feature { feature_name: "x" expression: "item:x" }
"""


def feature_set(config: data_pb2.DataConfig, texts: str = FEATURES) -> FeatureSet:
    lines = [line for line in texts.strip().splitlines() if line.strip()]
    return FeatureSet.from_config([text_format.Parse(t, feature_pb2.FeatureConfig()) for t in lines], config)


def data_config(**fields: Any) -> data_pb2.DataConfig:
    fields = {"dataset_type": data_pb2.ParquetDataset, "batch_size": 10, "label_fields": ["label"]} | fields
    return data_pb2.DataConfig(**fields)


def numbered(start: int, stop: int) -> pa.Table:
    rows = np.arange(start, stop)
    return pa.table({"row": rows, "x": (rows / 2).astype(np.float32), "label": rows % 2})


def write_files(folder: Path, sizes: Sequence[int], group: int = 7) -> str:
    """Parquet files whose rows are numbered through; returns a glob for them."""
    start = 0
    for number, size in enumerate(sizes):
        pq.write_table(numbered(start, start + size), folder / f"f{number:03}.parquet", row_group_size=group)
        start += size
    return str(folder / "*.parquet")


def loader(config: data_pb2.DataConfig, features: FeatureSet, paths: str, **options: Any) -> DataLoader:
    return DataLoader(config, features, paths, LoaderOptions(**options))


def rows_of(batches: Sequence[Batch]) -> list[int]:
    return [int(row) for batch in batches for row in batch.ids.values]


def bits(batches: Sequence[Batch]) -> list[list[Any]]:
    """All that is in batches, to be compared."""
    found: list[list[Any]] = []
    for batch in batches:
        tensors: list[Any] = [batch.position, batch.reserved]
        map_tensors(batch, lambda t, into=tensors: into.append(t.tolist()) or t)
        found.append(tensors)
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Kit:
    """The helpers above, for tests, which cannot import this file."""

    bits = staticmethod(bits)
    data_config = staticmethod(data_config)
    feature_set = staticmethod(feature_set)
    is_running = staticmethod(is_running)
    loader = staticmethod(loader)
    rows_of = staticmethod(rows_of)
    write_files = staticmethod(write_files)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def make_loader() -> Callable[..., DataLoader]:
    def make(paths: str, config: data_pb2.DataConfig | None = None, **options: Any) -> DataLoader:
        config = config or data_config()
        return DataLoader(config, feature_set(config), paths, LoaderOptions(**{"num_workers": 0} | options))

    return make


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """Wait for workers to start, so that they make all batches, and note them."""
    made: list[Worker] = []
    plain = Worker.started.fget  # type: ignore[attr-defined]

    def wait(worker: Worker) -> bool:
        if worker not in made:
            made.append(worker)
            assert worker._channel.ready(60)
        return bool(plain(worker))

    monkeypatch.setattr(Worker, "started", property(wait))
    return made
