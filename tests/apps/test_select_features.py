"""Features planted without any use are found out, and the reduced config trains."""

import csv
import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm

from tzx.runtime.config import load_config

USEFUL, USELESS = ["good_a", "good_b", "price"], ["bad_a", "bad_b", "noise"]
CONFIG = """
train_input_path: "{root}/rows.parquet" eval_input_path: "{root}/rows.parquet" model_dir: "{root}/run"
train_config {{
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.1 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.01 }} constant_learning_rate {{}} }}
  num_epochs: 8 save_checkpoints_epochs: 8 use_tensorboard: false
}}
data_config {{ dataset_type: ParquetDataset batch_size: 200 fg_mode: FG_DAG label_fields: "label" num_workers: 0 }}
{features}
model_config {{
  feature_groups {{ group_name: "deep" feature_names: [{names}] group_type: DEEP }}
  multi_tower {{ towers {{ input: "deep" mlp {{ hidden_units: [32] }} }} final {{ hidden_units: [16] }} }}
  losses {{ binary_cross_entropy {{}} }} metrics {{ auc {{}} }}
  variational_dropout {{ regularization_lambda: 1 }}
}}
"""


def write_rows(path: Path) -> None:
    rng, rows = np.random.default_rng(0), 6000
    columns = {name: rng.integers(0, 20, rows) for name in ("good_a", "good_b", "bad_a", "bad_b")}
    columns |= {name: rng.normal(size=rows).astype(np.float32) for name in ("price", "noise")}
    taste = 2 * np.random.default_rng(1).normal(size=(2, 20))
    logits = taste[0][columns["good_a"]] + taste[1][columns["good_b"]] + 1.5 * columns["price"]
    columns["label"] = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    pq.write_table(pa.table(columns), path)


def feature(name: str) -> str:
    kind = "raw_feature" if name in ("price", "noise") else "id_feature"
    more = "" if kind == "raw_feature" else "num_buckets: 20 embedding_dim: 8"
    return f'feature_configs {{ {kind} {{ feature_name: "{name}" expression: "item:{name}" {more} }} }}\n'


def app(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    return warm.run(["-m", f"tzx.apps.{name}", *args])


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory):
    root = tmp_path_factory.mktemp("selection")
    write_rows(root / "rows.parquet")
    names = [*USELESS[:2], *USEFUL, *USELESS[2:]]
    listed = ", ".join(f'"{name}"' for name in names)
    text = CONFIG.format(root=root, features="".join(map(feature, names)), names=listed)
    (root / "x.config").write_text(text)
    return root / "x.config"


@pytest.mark.slow
def test_useless_features_are_dropped(config, tmp_path):
    trained = app("train", "--config", config)
    assert trained.returncode == 0, trained.stderr
    flags = ("--topk", 3, "--visualize", "--clear_variational_dropout")
    done = app("select_features", "--config", config, "--output_dir", tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kept") == 3 and done.stdout.count("dropped") == 3
    with (tmp_path / "feature_dropout_ratio_deep.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = {row["feature"]: float(row["dropout_ratio"]) for row in rows}
    assert max(rates[name] for name in USEFUL) + 0.2 < min(rates[name] for name in USELESS)
    assert [float(row["dropout_ratio"]) for row in rows] == sorted(rates.values())
    assert {row["feature"] for row in rows if row["kept"] == "1"} == set(USEFUL)

    drawing = ET.parse(tmp_path / "feature_dropout_ratio_deep.svg")
    kinds = [shape.get("class") for shape in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert kinds.count("kept") == 3 and kinds.count("dropped") == 3

    reduced = load_config(str(tmp_path / "pipeline.config"))
    assert list(reduced.model_config.feature_groups[0].feature_names) == USEFUL
    assert len(reduced.feature_configs) == 3 and not reduced.model_config.HasField("variational_dropout")
    again = app("train", "--config", tmp_path / "pipeline.config", "--model_dir", tmp_path / "run")
    assert again.returncode == 0, again.stderr
    metrics = json.loads((tmp_path / "run" / "train_eval_result_v2.txt").read_text().splitlines()[-1])
    assert metrics["auc"] > 0.9


def test_without_dropout_there_is_nothing_to_rank(config, tmp_path):
    plain = tmp_path / "plain.config"
    plain.write_text(config.read_text().replace("variational_dropout { regularization_lambda: 1 }", ""))
    done = app("select_features", "--config", plain, "--output_dir", tmp_path)
    assert done.returncode == 2 and "add variational_dropout {} and train" in done.stderr


def test_flags_that_make_no_sense(config, tmp_path):
    done = app("select_features", "--config", config, "--output_dir", tmp_path, "--topk", 0)
    assert done.returncode == 2 and "--topk must be at least 1" in done.stderr
    done = app("select_features", "--config", config, "--output_dir", tmp_path, "--model_dir", tmp_path / "none")
    assert done.returncode == 2 and str(tmp_path / "none") in done.stderr
