"""What the model saw, row by row, for comparing rows between systems. Slow, and meant to be."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from tzx.runtime.data.batch import Batch, Elements

COLUMN = "__features__"


def describe_rows(batch: Batch) -> pa.Array:
    """One JSON object per row from feature name to its numbers: ids, id and weight pairs, or one entry per element."""
    rows: list[dict[str, Any]] = [{} for _ in range(batch.size)]
    for name, values in _values(batch).items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return pa.array([json.dumps(row) for row in rows], pa.string())


def _values(batch: Batch) -> dict[str, list[Any]]:
    layout = batch.layout
    values: dict[str, list[Any]] = {name: batch.dense_of(name).tolist() for name in layout.dense}
    for name in layout.ids:
        ids, lengths = batch.ids_of(name)
        values[name] = _split(ids.tolist(), lengths.tolist())
    weights = batch.weighted_ids.weights
    pairs = [] if weights is None else list(zip(batch.weighted_ids.values.tolist(), weights.tolist(), strict=True))
    counts = batch.weighted_ids.lengths.view(len(layout.weighted_ids), batch.size)
    ends = np.cumsum([0, *counts.sum(1).tolist()]).astype(int)
    for at, name in enumerate(layout.weighted_ids):
        values[name] = _split(pairs[ends[at] : ends[at + 1]], counts[at].tolist())
    return values | {name: _elements(batch.sequences[name]) for name in layout.sequence_ids + layout.sequence_dense}


def _elements(elements: Elements) -> list[Any]:
    values: Sequence[Any] = elements.values.tolist()
    if elements.key_lengths is not None:
        values = _split(values, elements.key_lengths.tolist())
    return _split(values, elements.seq_lengths.tolist())


def _split(values: Sequence[Any], lengths: Sequence[int]) -> list[Any]:
    ends = np.cumsum([0, *lengths]).astype(int).tolist()
    return [list(values[start:end]) for start, end in pairwise(ends)]
