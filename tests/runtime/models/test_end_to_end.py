"""Models of our own train, evaluate, export and predict, sharded as in production, on rows read from files.

test_easyrec_configs.py takes the models that TorchEasyRec has as well down the same way.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format
from model_zoo import TEXTS
from model_zoo.configs import FEATURES

from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.export import ExportOptions, export_bundle
from tzx.runtime.serving.predictor import Predictor
from tzx.runtime.training.jobs import TrainOptions, train

pytestmark = pytest.mark.slow

RUN = """
train_input_path: "{root}/rows.parquet" eval_input_path: "{root}/rows.parquet" model_dir: "{root}/run"
train_config {{
  num_steps: 4 use_tensorboard: false
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.1 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.01 }} constant_learning_rate {{}} }}
}}
"""
WITH = {
    "pareto": ("mmoe", "use_pareto_loss_weight: true"),
    "uncertainty": ("mmoe", "use_uncertainty_loss_weight: true"),
    "gradient surgery": ("mmoe", "use_pcgrad: true"),
    "variational dropout": ("deepfm", "variational_dropout {}"),
}


def write_rows(path, rows=300):
    """Rows with the finished values of every feature."""
    rng = np.random.default_rng(0)
    steps, tags = rng.integers(0, 6, rows), rng.integers(0, 4, rows)
    columns = {
        "user": rng.integers(0, 9, rows),
        "item": rng.integers(0, 11, rows),
        "city": rng.integers(0, 5, rows),
        "tags": pa.array([rng.integers(0, 7, n).tolist() for n in tags], pa.list_(pa.int64())),
        "age": rng.normal(size=rows).astype(np.float32),
        "price": pa.array(rng.normal(size=(rows, 3)).tolist(), pa.list_(pa.float32())),
        "seen": pa.array([rng.integers(0, 11, n).tolist() for n in steps], pa.list_(pa.int64())),
        "towns": pa.array([rng.integers(0, 5, n).tolist() for n in steps], pa.list_(pa.int64())),
        "paid": pa.array([rng.normal(size=(n, 2)).tolist() for n in steps], pa.list_(pa.list_(pa.float32()))),
        "click": rng.integers(0, 2, rows),
        "buy": rng.integers(0, 2, rows),
        "stars": rng.integers(0, 3, rows).astype(np.float32),
        "w": rng.random(rows).astype(np.float32),
        "w2": rng.random(rows).astype(np.float32),
    }
    pq.write_table(pa.table(columns), path)


def config_of(text, root):
    features = FEATURES.replace("dataset_type", "batch_size: 100 num_workers: 0 dataset_type")
    # FBGEMM wants tables of a multiple of 4 columns.
    features, text = features.replace("embedding_dim: 6", "embedding_dim: 8"), text.replace("_dim: 3 ", "_dim: 4 ")
    return text_format.Parse(f"{RUN.format(root=root)} {features} model_config {{ {text} }}", EasyRecConfig())


def first_of_each_own_model():
    ours, found = {facts.field.name for facts in CATALOG.values() if facts.field.number >= 5000}, {}
    for name, text in TEXTS.items():
        model = text_format.Parse(text, EasyRecConfig().model_config).WhichOneof("model")
        if model in ours:
            found.setdefault(model, name)
    return list(found.values())


@pytest.mark.parametrize("name", [*first_of_each_own_model(), *WITH])
def test_from_rows_to_predictions(name, tmp_path):
    base, more = WITH.get(name, (name, ""))
    check(config_of(f"{TEXTS[base]} {more}", tmp_path), tmp_path)


def test_with_embedded_numbers(tmp_path):
    config = config_of(TEXTS["mmoe"], tmp_path)
    embedded = {"age": "autodis { num_channels: 3 }", "price": "mlp {}"}
    for feature in config.feature_configs:
        if feature.WhichOneof("feature") == "raw_feature":
            text_format.Merge(f"embedding_dim: 8 {embedded[feature.raw_feature.feature_name]}", feature.raw_feature)
    check(config, tmp_path)


def check(config, tmp_path):
    """Trains, evaluates, exports and predicts."""
    write_rows(tmp_path / "rows.parquet")
    train(config, TrainOptions())
    (line,) = (tmp_path / "run" / "train_eval_result_v2.txt").read_text().splitlines()
    metrics = json.loads(line)
    assert metrics.pop("global_step") == 4 and metrics
    assert all(np.isfinite(value) for value in metrics.values())
    report = export_bundle(config, None, tmp_path / "bundle", ExportOptions())  # compares bundle and model
    rows = pq.read_table(tmp_path / "rows.parquet").drop_columns(["click", "buy", "stars", "w", "w2"])
    predictions = Predictor(report.path).predict(rows.combine_chunks().to_batches()[0])
    assert {len(values) for values in predictions.values()} == {300}
    assert all(np.isfinite(values).all() for values in predictions.values())
