"""A small trained model: data, config file and checkpoint, made once by the train app itself."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import warm

CONFIG = """
train_input_path: "{root}/train.parquet"
eval_input_path: "{root}/eval.parquet"
model_dir: "{root}/run"
train_config {{
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.1 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.01 }} constant_learning_rate {{}} }}
  num_steps: 6
  save_checkpoints_steps: 3
}}
data_config {{
  dataset_type: ParquetDataset batch_size: 100 fg_mode: FG_DAG label_fields: "label" num_workers: 0 with_header: true
}}
feature_configs {{ id_feature {{ feature_name: "user" expression: "user:user" num_buckets: 50 embedding_dim: 4 }} }}
feature_configs {{
  id_feature {{ feature_name: "item" expression: "item:item" hash_bucket_size: 64 embedding_dim: 4 }}
}}
feature_configs {{ raw_feature {{ feature_name: "price" expression: "item:price" }} }}
model_config {{
  feature_groups {{ group_name: "wide" feature_names: ["user", "item"] group_type: WIDE }}
  feature_groups {{ group_name: "fm" feature_names: ["user", "item"] group_type: DEEP }}
  feature_groups {{ group_name: "deep" feature_names: ["user", "item", "price"] group_type: DEEP }}
  deepfm {{ deep {{ hidden_units: [8, 4] }} }}
  losses {{ binary_cross_entropy {{}} }}
  metrics {{ auc {{}} }}
}}
"""


def run_app(name: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m tzx.apps.<name> args` as a user would run it."""
    return warm.run(["-m", f"tzx.apps.{name}", *args], {**os.environ, **env})


@dataclass(frozen=True)
class TrainedRun:
    """Where a trained model's files lie."""

    root: Path
    config: Path

    def app(self, name: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return run_app(name, *args, **env)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory) -> TrainedRun:
    """Data, `x.config` and a model directory with the checkpoints of steps 3 and 6."""
    root = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    rows = pa.table(
        {
            "row": np.arange(1003),
            "user": rng.integers(0, 50, 1003),
            "item": [f"i{i}" for i in rng.integers(0, 40, 1003)],
            "price": rng.normal(size=1003).astype(np.float32),
            "label": rng.integers(0, 2, 1003),
        }
    )
    pq.write_table(rows, root / "train.parquet", row_group_size=300)
    pq.write_table(rows.slice(0, 200), root / "eval.parquet")
    pacsv.write_csv(rows, root / "rows.csv")
    config = root / "x.config"
    config.write_text(CONFIG.format(root=root))
    done = run_app("train", "--config", str(config))
    assert done.returncode == 0, done.stderr
    return TrainedRun(root, config)


@pytest.fixture(scope="session")
def bundle(trained_run, tmp_path_factory) -> Path:
    """The model exported by the export app."""
    from tzx.apps import export

    target = tmp_path_factory.mktemp("exported") / "bundle"
    assert export.main(["--config", str(trained_run.config), "--export_dir", str(target)]) == 0
    return target
