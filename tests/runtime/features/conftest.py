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


@pytest.fixture(name="make_features")
def _make_features() -> Callable[..., FeatureSet]:
    """Features of FeatureConfig texts, through the real config parser."""

    def make(mode: str, *configs: str, data: str = "") -> FeatureSet:
        features = "\n".join(f"feature_configs {{ {config} }}" for config in configs)
        config = parse_text(PIPELINE.format(mode=mode, data=data, features=features), "test.config")
        return FeatureSet.from_config(config.feature_configs, config.data_config)

    return make


@pytest.fixture(name="make_batch")
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
