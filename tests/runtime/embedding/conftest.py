"""Small features, batches of Python lists, and the slow, obvious way to embed them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.data.batch import Batch, BatchLayout, Elements, Jagged
from tzx.runtime.protos.feature_pb2 import IdFeature, RawFeature
from tzx.runtime.protos.model_pb2 import FeatureGroupConfig

sys.path.insert(0, str(Path(__file__).parent))  # for sparse_oracle, which workers also import

from sparse_oracle import update_table


@dataclass(frozen=True)
class FakeFeature:
    """The attributes of a Feature that embedding reads."""

    name: str
    is_sparse: bool = True
    is_sequence: bool = False
    is_weighted: bool = False
    value_dim: int = 0
    num_embeddings: int = 10
    embedding_name: str = ""
    embedding_dim: int = 4
    pooling: str = "sum"
    data_type: str = "FP32"
    trainable: bool = True
    init_fn: str = ""
    config: Any = field(default_factory=IdFeature)


def sparse(name: str, **options: Any) -> FakeFeature:
    return FakeFeature(name, embedding_name=options.pop("embedding_name", f"{name}_emb"), **options)


def dense(name: str, dim: int = 1, **options: Any) -> FakeFeature:
    options.setdefault("config", RawFeature())
    return FakeFeature(name, is_sparse=False, value_dim=dim, num_embeddings=0, embedding_dim=0, **options)


def group(text: str) -> FeatureGroupConfig:
    return text_format.Parse(text, FeatureGroupConfig())


Rows = Sequence[Any]


def make_batch(features: Sequence[FakeFeature], rows: Mapping[str, Rows], size: int) -> Batch:
    """Pack rows.

    Args:
        features: what to pack, in config order.
        rows: per feature one entry per row: ids, (id, weight) pairs, numbers, id lists per element, or vectors.
        size: number of rows.
    """
    layout = BatchLayout.from_features(features)
    dense_parts = [np.asarray(rows[n], np.float32).reshape(size, -1) for n in layout.dense]
    sequence_ids = {n: [[i for element in row for i in element] for row in rows[n]] for n in layout.sequence_ids}
    return Batch(
        size=size,
        layout=layout,
        dense=torch.from_numpy(np.concatenate([np.zeros((size, 0), np.float32), *dense_parts], axis=1)),
        ids=_jagged([rows[n] for n in layout.ids]),
        weighted_ids=_weighted([rows[n] for n in layout.weighted_ids]),
        sequence_ids=_jagged(list(sequence_ids.values())),
        sequences={f.name: _elements(f, rows[f.name]) for f in features if f.is_sequence},
    )


def _jagged(columns: Sequence[Rows]) -> Jagged:
    values = [i for column in columns for row in column for i in row]
    lengths = [len(row) for column in columns for row in column]
    return Jagged(torch.tensor(values, dtype=torch.int64), torch.tensor(lengths, dtype=torch.int32))


def _weighted(columns: Sequence[Rows]) -> Jagged:
    jagged = _jagged([[[i for i, _ in row] for row in column] for column in columns])
    jagged.weights = torch.tensor([w for column in columns for row in column for _, w in row], dtype=torch.float32)
    return jagged


def _elements(feature: FakeFeature, column: Rows) -> Elements:
    lengths = torch.tensor([len(row) for row in column], dtype=torch.int32)
    positions = torch.arange(int(lengths.max()) if len(lengths) else 0)
    flat = [element for row in column for element in row]
    if not feature.is_sparse:
        values = torch.tensor(flat, dtype=torch.float32).view(-1, feature.value_dim)
        return Elements(values, None, lengths, positions)
    ids = torch.tensor([i for element in flat for i in element], dtype=torch.int64)
    return Elements(ids, torch.tensor([len(e) for e in flat], dtype=torch.int32), lengths, positions)


def random_rows(features: Sequence[FakeFeature], size: int, seed: int, longest: int = 4) -> dict[str, list[Any]]:
    """Rows with empty bags, empty sequences and empty elements; sequences of a batch are equally long."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest + 1, size)

    def ids(feature: FakeFeature) -> list[int]:
        return rng.integers(0, feature.num_embeddings, rng.integers(0, 4)).tolist()

    def row(feature: FakeFeature, i: int) -> Any:
        if feature.is_sequence and feature.is_sparse:
            return [ids(feature) for _ in range(lengths[i])]
        if feature.is_sequence:
            return rng.normal(size=(lengths[i], feature.value_dim)).tolist()
        if not feature.is_sparse:
            return rng.normal(size=feature.value_dim).tolist()
        return [(k, float(rng.normal())) for k in ids(feature)] if feature.is_weighted else ids(feature)

    return {f.name: [row(f, i) for i in range(size)] for f in features}


def pool(table: np.ndarray, row: Sequence[Any], pooling: str) -> np.ndarray:
    """One bag in float64; a weighted one has (id, weight) pairs."""
    pairs = [entry if isinstance(entry, tuple) else (entry, 1.0) for entry in row]
    total = np.zeros(table.shape[1])
    for index, weight in pairs:
        total += table[index].astype(np.float64) * weight
    return total / len(pairs) if pooling == "mean" and pairs else total


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The helpers of this file, for tests to use without importing it."""
    helpers: dict[str, Callable[..., Any]] = {
        "sparse": sparse,
        "dense": dense,
        "group": group,
        "make_batch": make_batch,
        "random_rows": random_rows,
        "pool": pool,
        "layout": BatchLayout.from_features,
        "update_table": update_table,
    }
    return SimpleNamespace(**helpers)
