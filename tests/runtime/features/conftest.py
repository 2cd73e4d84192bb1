"""Building features from config text and batches from plain Python values."""

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tzx.runtime.config import parse_text
from tzx.runtime.features import FeatureSet

SCALARS = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}
PIPELINE = """
train_input_path: "train" eval_input_path: "eval" model_dir: "model"
data_config {{ dataset_type: ParquetDataset fg_mode: {mode} {data} }}
{features}
"""


def arrow_type(text: str) -> pa.DataType:
    if match := re.fullmatch(r"list<(.*)>", text):
        return pa.list_(arrow_type(match[1]))
    if match := re.fullmatch(r"map<(\w+),(\w+)>", text):
        return pa.map_(SCALARS[match[1]], SCALARS[match[2]])
    return SCALARS[text]


@pytest.fixture(name="make_features", scope="session")
def _make_features() -> Callable[..., FeatureSet]:
    """Features of FeatureConfig texts, through the real config parser."""

    def make(mode: str, *configs: str, data: str = "") -> FeatureSet:
        features = "\n".join(f"feature_configs {{ {config} }}" for config in configs)
        config = parse_text(PIPELINE.format(mode=mode, data=data, features=features), "test.config")
        return FeatureSet.from_config(config.feature_configs, config.data_config)

    return make


@pytest.fixture(name="make_batch", scope="session")
def _make_batch() -> Callable[..., pa.RecordBatch]:
    """A record batch of columns given as {"type": ..., "values": [...]}; one row stands for all rows."""

    def make(inputs: dict[str, dict[str, Any]]) -> pa.RecordBatch:
        rows = max(len(column["values"]) for column in inputs.values())
        arrays = {}
        for name, column in inputs.items():
            values = column["values"] * rows if len(column["values"]) == 1 else column["values"]
            if column["type"].startswith("map"):
                values = [row and [tuple(pair) for pair in row] for row in values]
            arrays[name] = pa.array(values, arrow_type(column["type"]))
        return pa.record_batch(arrays)

    return make


def _other_layout(array: pa.Array, layout: str) -> pa.Array:
    """An equal array that lies in memory in another way; the same array where the type has no such layout."""
    if layout == "sliced":
        return pa.concat_arrays([array[:1], array, array])[len(array[:1]) : len(array[:1]) + len(array)]
    if pa.types.is_list(array.type) and layout in ("large", "garbage"):
        if layout == "large":
            return array.cast(pa.large_list(array.type.value_type))
        # Null lists that cover items nevertheless.
        shown = pa.array([[] if row is None else row for row in array.to_pylist()], array.type)
        full = pa.array([row or shown.values[:1].to_pylist() for row in shown.to_pylist()], array.type)
        empty = [row is None for row in array.to_pylist()]
        if any(row == [] for row in array.to_pylist()):
            return array
        return pa.ListArray.from_arrays(full.offsets, full.values, mask=pa.array(empty, pa.bool_()))
    if pa.types.is_string(array.type):
        types = {"large": pa.large_string(), "view": pa.string_view()}
        return array.dictionary_encode() if layout == "dictionary" else array.cast(types.get(layout, pa.string()))
    return array


@pytest.fixture(name="other_layout", scope="session")
def _other_layout_fixture() -> Callable[[pa.Array, str], pa.Array]:
    """See `_other_layout`; layouts are plain, sliced, large, view, dictionary and garbage."""
    return _other_layout
