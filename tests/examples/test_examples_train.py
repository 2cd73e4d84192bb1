"""Every example goes the whole way on a little data: train, evaluate, export with its parity check, predict."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "examples").glob("*.config"))
# All apps in one process: starting Python and torch four times would be most of the time.
WALK = """
import sys
from tzx.apps import export, predict, train
config, data = sys.argv[1:]
train.main(["--config", config, "--model_dir", "model", "--set", "train_config.num_steps=4", "--set",
            "train_config.num_epochs=", "--set", "data_config.batch_size=64"])
export.main(["--config", config, "--model_dir", "model", "--export_dir", "bundle"])
predict.main(["--bundle", "bundle", "--predict_input_path", data, "--predict_output_path", "predictions"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_trains_exports_and_predicts(path: Path, small_data: Path, tmp_path: Path):
    (tmp_path / "data").symlink_to(small_data / "data")
    test_input = _eval_input(path)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WALK, str(path), test_input],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "model" / "train_eval_result_v2.txt").read_text().splitlines()[-1])
    assert metrics.pop("global_step") == 4
    aucs = [value for name, value in metrics.items() if name.startswith("auc")]
    assert aucs and all(0 <= auc <= 1 for auc in aucs)
    assert all(math.isfinite(value) for value in metrics.values())
    predictions = pq.read_table(tmp_path / "predictions")
    probabilities = [name for name in predictions.column_names if name.startswith("probs")]
    assert len(probabilities) == len(aucs)
    for name in probabilities:
        assert all(0 < p < 1 for p in predictions[name].to_pylist())


def _eval_input(path: Path) -> str:
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("eval_input_path")]
    return line.split('"')[1]
