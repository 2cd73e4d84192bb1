"""Reading the recorded input -> output cases of the compatible system."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import text_format

from tzx.runtime.features import FeatureSet
from tzx.runtime.protos import data_pb2, feature_pb2

SCALARS = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}


def arrow_type(text: str) -> pa.DataType:
    if match := re.fullmatch(r"list<(.*)>", text):
        return pa.list_(arrow_type(match[1]))
    if match := re.fullmatch(r"map<(\w+),(\w+)>", text):
        return pa.map_(SCALARS[match[1]], SCALARS[match[2]])
    return SCALARS[text]


def record_batch(inputs: dict[str, dict[str, Any]]) -> pa.RecordBatch:
    """Columns of a case; one of a single row stands for all rows."""
    rows = max(len(column["values"]) for column in inputs.values())
    arrays = {}
    for name, column in inputs.items():
        values = column["values"] * rows if len(column["values"]) == 1 else column["values"]
        if column["type"].startswith("map"):
            values = [row and [tuple(pair) for pair in row] for row in values]
        arrays[name] = pa.array(values, arrow_type(column["type"]))
    return pa.record_batch(arrays)


def make_features(mode: str, *configs: str, **data: Any) -> FeatureSet:
    """Features of FeatureConfig texts."""
    messages = [text_format.Parse(text, feature_pb2.FeatureConfig()) for text in configs]
    return FeatureSet.from_config(messages, data_pb2.DataConfig(fg_mode=data_pb2.FgMode.Value(mode), **data))


@pytest.fixture(name="make_features")
def _make_features():
    return make_features


def load_cases() -> list[dict[str, Any]]:
    return json.loads((Path(__file__).parent / "feature_vectors.json").read_text())
