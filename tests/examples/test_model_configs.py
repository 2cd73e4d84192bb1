"""The config of every model in its layouts, and every other example, goes the whole way on a little data."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import warm
from small_tables import with_small_tables

from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.loading import read_config
from tzx.runtime.config.nodes import walk

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "examples" / "models").glob("*.config"))
EVERY = sorted((ROOT / "examples").rglob("*.config"))
LAYOUTS = ("movielens", "criteo", "taobao")
# One process for many configs: starting Python and torch for each config would be most of the time.
WALK = """
import sys
from pathlib import Path
from tzx.apps import eval, export, predict, train
few = ["--set", "train_config.num_steps=2", "--set", "train_config.num_epochs=", "--set", "data_config.batch_size=64",
       "--set", "data_config.num_workers=0"]
for config in sys.argv[1:]:
    run = Path(config).stem
    text = Path(config).read_text()
    data = text.split('eval_input_path: "')[1].split('"')[0]
    train.main(["--config", config, "--model_dir", f"{run}/model", *few])
    eval.main(["--config", config, "--model_dir", f"{run}/model", *few[4:]])
    export.main(["--config", config, "--model_dir", f"{run}/model", "--export_dir", f"{run}/bundle", *few[4:]])
    predict.main(["--bundle", f"{run}/bundle", "--predict_input_path", data, "--predict_output_path", f"{run}/out"])
"""


def _of(layout: str) -> list[Path]:
    return [path for path in CONFIGS if path.stem.endswith(f"_{layout}")]


def test_configs_are_what_the_script_writes() -> None:
    command = [sys.executable, ROOT / "scripts" / "write_examples.py", "--check"]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""


def test_every_model_has_a_config_on_movielens_and_in_another_layout() -> None:
    names = {path.stem for path in (*CONFIGS, *(ROOT / "examples").glob("*.config"))}
    for facts in CATALOG.values():
        assert f"{facts.field.name}_movielens" in names
        assert {f"{facts.field.name}_criteo", f"{facts.field.name}_taobao"} & names
    assert len(CONFIGS) == sum(len(_of(layout)) for layout in LAYOUTS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_validates_without_a_warning(path: Path) -> None:
    draft = read_config(str(path))
    assert [problem.render() for problem in draft.report.problems] == []
    assert draft.config.model_dir == f"runs/{path.stem}"
    assert f"--config examples/models/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_of_compatible_models_hold_no_field_of_our_own(path: Path) -> None:
    """They are configs of TorchEasyRec, word for word, and train as they are."""
    config = read_config(str(path)).config
    fields = [field for node in walk(config) for field, _ in node.message.ListFields()]
    (model,) = [field for field, _ in config.model_config.ListFields() if field.containing_oneof is not None]
    ours = {"AutoInt", "FinalMLP", "FiBiNET", "GDCN", "BST", "DIEN", "SIM", "STEM"}
    assert (model.number >= 5000) == (model.message_type.name in ours)
    assert [field.name for field in fields if field.number >= 5000 and field != model] == []


@pytest.mark.slow
@pytest.mark.parametrize("layouts", ["movielens", "criteo|adult", "taobao"])
def test_train_evaluate_export_and_predict(layouts: str, small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(small_data / "data")
    chosen = [path for path in EVERY if re.search(rf"_({layouts})(_|$)", path.stem)]
    for path in chosen:
        (tmp_path / path.name).write_text(with_small_tables(path.read_text()))
    result = warm.run(["-c", WALK, *(path.name for path in chosen)], cwd=tmp_path, timeout=1200)
    assert result.returncode == 0, result.stderr[-3000:]
    for path in chosen:
        metrics = json.loads((tmp_path / path.stem / "model" / "eval_result.txt").read_text().splitlines()[-1])
        assert metrics.pop("global_step") == 2
        aucs = [value for name, value in metrics.items() if name.startswith("auc")]
        assert aucs and all(math.isfinite(value) for value in metrics.values()), path.stem
        predictions = pq.read_table(tmp_path / path.stem / "out")
        probabilities = [name for name in predictions.column_names if name.startswith("probs")]
        assert len(probabilities) == len(aucs), path.stem
        assert all(0 < p < 1 for name in probabilities for p in predictions[name].to_pylist())
