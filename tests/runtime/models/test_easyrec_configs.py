"""Configs in TorchEasyRec's own form parse, train, evaluate, export and predict through the apps, without a change."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from easyrec_configs import RANK, ROWS, TASKS, config_of, rows
from google.protobuf import text_format

from tzx.apps import eval as evaluate
from tzx.apps import export, predict, train
from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.nodes import walk
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

OWN_NUMBERS = 5000  # from here on fields are ours


def test_there_is_one_for_every_model_that_both_have() -> None:
    assert {*RANK, *TASKS} == {facts.field.name for facts in CATALOG.values() if facts.field.number < OWN_NUMBERS}


@pytest.mark.parametrize("model", [*RANK, *TASKS])
def test_holds_no_field_of_our_own(model: str) -> None:
    config = text_format.Parse(config_of(model, "."), EasyRecConfig())
    assert not [f.name for node in walk(config) for f, _ in node.message.ListFields() if f.number >= OWN_NUMBERS]


@pytest.mark.slow
@pytest.mark.parametrize("model", [*RANK, *TASKS])
def test_runs_through_the_apps(model: str, tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "test")):
        (tmp_path / part).mkdir()
        pq.write_table(rows(seed), tmp_path / part / "part-0.parquet")
    config = ["--pipeline_config_path", str(tmp_path / "pipeline.config")]
    Path(config[1]).write_text(config_of(model, str(tmp_path)))
    train.main(config)
    evaluate.main(config)
    export.main([*config, "--export_dir", f"{tmp_path}/export"])
    where = ["--predict_input_path", f"{tmp_path}/test/*.parquet", "--predict_output_path", f"{tmp_path}/out"]
    predict.main(["--scripted_model_path", f"{tmp_path}/export", *where, "--reserved_columns", "user_id,clk"])

    metrics = json.loads((tmp_path / "model" / "eval_result.txt").read_text().splitlines()[-1])
    assert metrics.pop("global_step") == ROWS // 64
    aucs = [value for name, value in metrics.items() if name.startswith("auc")]
    assert len(aucs) == (1 if model in RANK else 2) and all(map(math.isfinite, metrics.values()))
    found = pq.read_table(tmp_path / "out")
    assert found["clk"].equals(rows(1)["clk"]) and found.num_rows == ROWS
    probabilities = [name for name in found.column_names if name.startswith("probs")]
    assert len(probabilities) == (4 if model == "pepnet" else len(aucs))
    assert all(0 < p < 1 for name in probabilities for p in found[name].to_pylist())
