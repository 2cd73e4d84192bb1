import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CONFIG = """
train_input_path: "{root}/rows.parquet"
model_dir: "{root}/run"
data_config {{ dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "label" }}
feature_configs {{
  id_feature {{
    feature_name: "user" expression: "user:user" hash_bucket_size: 100 embedding_dim: 4 default_value: "0"
  }}
}}
feature_configs {{ id_feature {{ feature_name: "item" expression: "item:item" num_buckets: 10 embedding_dim: 4 }} }}
model_config {{
  feature_groups {{ group_name: "deep" feature_names: ["user", "item"] group_type: DEEP }}
  multi_tower {{ towers {{ input: "deep" mlp {{ hidden_units: [4] }} }} final {{ hidden_units: [2] }} }}
  losses {{ binary_cross_entropy {{}} }}
}}
"""


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory):
    root = tmp_path_factory.mktemp("explain")
    pq.write_table(pa.table({"user": ["a", None, "b"], "item": [1, 2, 30], "label": [0, 1, 0]}), root / "rows.parquet")
    (root / "x.config").write_text(CONFIG.format(root=root))
    return str(root / "x.config")


def explain(*args: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-m", "tzx.apps.explain_features", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_rows_of_the_training_data_without_torch(config: str):
    run = explain(config, "--rows", "2", "--json", flags=("-X", "importtime"))
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["row"] for row in rows] == [0, 1]
    assert rows[1]["features"][0]["slots"][0]["made"] == [26]
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"torch", "pandas", "torchrec"}


def test_a_table_and_65_for_a_value_that_cannot_be_used(config: str):
    run = explain("--config", config, "--skip", "1", "--rows", "9")
    assert run.returncode == 65
    assert "rows.parquet, row group 0, row 1 (row 1 of 3)" in run.stdout
    assert "missing -> default 0" in run.stdout
    assert "id 30 is out of range" in " ".join(run.stdout.split())
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--features", "usr"), "did you mean 'user'?"),
        (("--skip", "3"), "--skip 3 leaves no rows: there are 3"),
        (("--rows", "0"), "must be at least 1"),
    ],
)
def test_wrong_use(config: str, args: tuple[str, ...], message: str):
    run = explain(config, *args)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
