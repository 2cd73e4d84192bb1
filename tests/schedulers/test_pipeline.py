"""Training, export and scoring as one job of two nodes."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from torchx.specs.builders import materialize_appdef

from tzx import components

ROOT = Path(__file__).parents[2]


def clicks() -> ModuleType:
    """The small data set that the tests of training have."""
    spec = importlib.util.spec_from_file_location("clicks", ROOT / "tests" / "runtime" / "training" / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_two_nodes_train_export_and_predict(local: Any, home: Path) -> None:
    data = clicks()
    for name, rows in {"train0": 600, "eval": 300}.items():
        pq.write_table(data.click_rows(rows, 1), home / f"{name}.parquet", row_group_size=100)
    (home / "x.config").write_text(data.CONFIG.format(root=home))
    words = ["--config", "x.config", "--export_dir", "bundle", "-j", "2x1", "--stages", "train,export,predict"]
    words += ["--predict_input_path", "eval.parquet", "--predict_output_path", "scores", "--max_retries", "1"]
    app = materialize_appdef(components.pipeline, [*words, "--env", "OMP_NUM_THREADS=1"])
    app.roles[0].env["TORCHX_JOB_ID"] = "local_cwd://torchx/${app_id}"  # as TorchX's runner does it
    app_id = local.submit(app)
    assert local.wait(app_id, 300) == "SUCCEEDED", local.log(app_id, role="pipeline")[-20:]
    record = json.loads((home / "bundle.stages.json").read_text())
    assert record["done"] == ["train", "export", "predict"] and record["job"].endswith(app_id)
    scored = sum(pq.read_table(file).num_rows for file in (home / "scores").glob("*.parquet"))
    assert scored == 300
    first, second = ("".join(local.log(app_id, k, role="pipeline")) for k in (0, 1))
    assert "stage 2 of 3: export" in first and "stage 2 of 3: export" not in second
