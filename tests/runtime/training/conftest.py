"""A small learnable data set and a DeepFM on it, trained in a second or two."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for rank_runner, which the processes it starts also import

from rank_runner import Runner, make_server

from tzx.runtime.config import parse_text

CONFIG = """
train_input_path: "{root}/train*.parquet"
eval_input_path: "{root}/eval.parquet"
model_dir: "{root}/run"
train_config {{
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.2 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.02 }} constant_learning_rate {{}} }}
  num_epochs: 2
  save_checkpoints_steps: 15
  log_step_count_steps: 5
}}
data_config {{
  dataset_type: ParquetDataset batch_size: 100 fg_mode: FG_DAG label_fields: "label" num_workers: 0
  shuffle: true shuffle_buffer_size: 4
}}
feature_configs {{ id_feature {{ feature_name: "user" expression: "user:user" num_buckets: 50 embedding_dim: 8 }} }}
feature_configs {{
  id_feature {{ feature_name: "item" expression: "item:item" hash_bucket_size: 64 embedding_dim: 8 }}
}}
feature_configs {{ raw_feature {{ feature_name: "price" expression: "item:price" }} }}
model_config {{
  feature_groups {{ group_name: "wide" feature_names: ["user", "item"] group_type: WIDE }}
  feature_groups {{ group_name: "fm" feature_names: ["user", "item"] group_type: DEEP }}
  feature_groups {{ group_name: "deep" feature_names: ["user", "item", "price"] group_type: DEEP }}
  deepfm {{ deep {{ hidden_units: [32, 16] }} }}
  losses {{ binary_cross_entropy {{}} }}
  metrics {{ auc {{}} }}
  train_metrics {{ auc {{}} decay_step: 5 }}
}}
"""


def click_rows(rows: int, seed: int) -> pa.Table:
    """Rows whose label follows from the user's and the item's hidden taste and the price."""
    taste = np.random.default_rng(0).normal(size=(2, 50))
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 50, rows), rng.integers(0, 50, rows)
    price = rng.normal(size=rows)
    logits = 2 * taste[0, user] + 2 * taste[1, item] + price
    label = rng.random(rows) < 1 / (1 + np.exp(-logits))
    return pa.table(
        {
            "user": user,
            "item": [f"i{i}" for i in item],
            "price": price.astype(np.float32),
            "label": label.astype(np.int64),
        }
    )


@pytest.fixture
def root(tmp_path):
    """A directory with the data set."""
    pq.write_table(click_rows(1500, 1), tmp_path / "train0.parquet", row_group_size=400)
    pq.write_table(click_rows(1000, 2), tmp_path / "train1.parquet", row_group_size=400)
    pq.write_table(click_rows(1010, 3), tmp_path / "eval.parquet")
    return tmp_path


@pytest.fixture
def config_text(root):
    """The config of that data set as text."""
    return CONFIG.format(root=root)


@pytest.fixture
def config(config_text):
    """The config of that data set, parsed."""
    return parse_text(config_text, "test.config")


@pytest.fixture(scope="session")
def server():
    """Forks processes that have everything imported."""
    return make_server()


@pytest.fixture
def runner(server, tmp_path):
    """Runs jobs of several processes."""
    return Runner(server, tmp_path)
