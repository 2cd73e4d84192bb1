"""Every recorded case, written as columns in both forms, in Parquet and CSV, and read again."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.config import parse_text
from tzx.runtime.data.generating.columns import final_column, value_column
from tzx.runtime.data.generating.config import describe_files, training_config
from tzx.runtime.data.readers import open_reader
from tzx.runtime.data.writers import open_writer
from tzx.runtime.features import FeatureSet

CASES = json.loads((Path(__file__).parent / "feature_vectors.json").read_text())
PIPELINE = """
train_input_path: "t" eval_input_path: "e" model_dir: "m"
data_config {{ dataset_type: ParquetDataset fg_mode: {mode} }}
{features}
"""


def columns(features, form, batch, as_text):
    if form == "none":
        return {name: final_column(data, as_text) for name, data in features.generate(batch).items()}
    return {
        t.feature.name: value_column(t.values, t.bucketizer, getattr(t.feature.config, "weighted", False), as_text)
        for t in features.trace(batch)
        if not t.stub
    }


def through_a_file(config, made, kind, folder):
    """The columns as a reader gives them."""
    written = pa.RecordBatch.from_pydict(made)
    describe_files(config.data_config, kind == "csv", written.schema)
    with open_writer(kind, str(folder), 0) as writer:
        writer.write(written)
    reader = open_reader(config.data_config, str(folder), list(made))
    return next(iter(reader.read(np.array([[0, written.num_rows]]), written.num_rows)))


def generated(case):
    return case["mode"] in ("FG_NORMAL", "FG_DAG") and not case.get("is_training")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("form", ["none", "bucketize"])
@pytest.mark.parametrize("case", [c for c in CASES if generated(c)], ids=lambda c: c["id"])
def test_recorded_cases(case, form, kind, make_batch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in case.get("files", {}).items():
        (tmp_path / name).write_text(content)
    for name, value in case.get("env", {}).items():
        monkeypatch.setenv(name, value)
    texts = [*case.get("extra_configs", []), case["config"]]
    text = PIPELINE.format(mode=case["mode"], features="\n".join(f"feature_configs {{ {t} }}" for t in texts))
    config = parse_text(text, "test.config")
    raw = FeatureSet.from_config(config.feature_configs, config.data_config)
    batch = make_batch(case["inputs"])
    expected = raw.generate(batch)
    ahead = training_config(config, form, batch.schema)
    read = through_a_file(ahead, columns(raw, form, batch, kind == "csv"), kind, tmp_path / "out")
    found = FeatureSet.from_config(ahead.feature_configs, ahead.data_config).generate(read)
    assert found.keys() == expected.keys()
    for name, data in expected.items():
        assert type(found[name]) is type(data)
        for field in fields(data):
            np.testing.assert_array_equal(getattr(found[name], field.name), getattr(data, field.name), err_msg=name)
