import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm

CONFIG = """
train_input_path: "{root}/rows.parquet"
model_dir: "{root}/run"
data_config {{ dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "label" }}
feature_configs {{ id_feature {{ feature_name: "item" expression: "item:item" num_buckets: 10 embedding_dim: 4 }} }}
feature_configs {{ raw_feature {{ feature_name: "price" expression: "item:price" }} }}
model_config {{
  feature_groups {{ group_name: "deep" feature_names: ["item", "price"] group_type: DEEP }}
  multi_tower {{ towers {{ input: "deep" mlp {{ hidden_units: [4] }} }} final {{ hidden_units: [2] }} }}
  losses {{ binary_cross_entropy {{}} }}
}}
"""


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory):
    root = tmp_path_factory.mktemp("statistics")
    columns = {"item": np.arange(1000) % 11, "price": np.arange(1000) / 10, "label": np.arange(1000) % 2}
    pq.write_table(pa.table(columns), root / "rows.parquet")
    (root / "x.config").write_text(CONFIG.format(root=root))
    return str(root / "x.config")


def app(*args: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    return warm.ranks(["-m", "tzx.apps.feature_statistics", *args], processes)[0]


def features(out: Path) -> dict:
    record = json.loads((out / "statistics.json").read_text())
    assert record["rows"] == 1000
    return {name: one["summary"] for name, one in record["features"].items()}


@pytest.mark.slow
def test_one_process_and_two_write_the_same(config: str, tmp_path: Path):
    alone = app("--config", config, "--output_dir", str(tmp_path / "one"))
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.startswith("1,000 rows, 2 features: ")
    together = app("--config", config, "--output_dir", str(tmp_path / "two"), processes=2)
    assert together.returncode == 0, together.stderr
    one, two = features(tmp_path / "one"), features(tmp_path / "two")
    assert one["item"] == two["item"]
    assert one["item"]["out_of_range_share"] == 90 / 1000
    assert one["price"]["numbers"]["quantiles"] == two["price"]["numbers"]["quantiles"]
    assert (tmp_path / "two" / "statistics.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("args", "message"),
    [(("--max_rows", "-1"), "--max_rows must be at least 0"), (("--output", "x"), "did you mean --output_dir")],
)
def test_wrong_use(config: str, args: tuple[str, ...], message: str, tmp_path: Path):
    run = app("--config", config, "--output_dir", str(tmp_path), *args)
    assert run.returncode == 2
    assert message in run.stderr
    assert not list(tmp_path.iterdir())
