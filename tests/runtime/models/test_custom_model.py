"""docs/custom_model.md, word for word: message, class, config and commands, in a folder of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tzx.runtime.serving.predictor import Predictor

GUIDE = (Path(__file__).parents[3] / "docs" / "custom_model.md").read_text()
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", GUIDE, re.M | re.S))
COMMANDS = re.findall(r"<!-- run -->\n```bash\n(.*?)```", GUIDE, re.S)
CHECK = "python -m tzx.apps.validate --config gated_mlp.config"
TRAIN = "python -m tzx.apps.train --config gated_mlp.config --user_module gated_mlp.py"

pytestmark = pytest.mark.slow


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the guide, its message compiled."""
    root = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (root / name).write_text(text)
    done = run(COMMANDS[0], root)
    assert done.returncode == 0, done.stderr
    return root


def test_the_whole_walk(folder: Path) -> None:
    assert sorted(FILES) == ["gated_mlp.config", "gated_mlp.proto", "gated_mlp.py"] and len(COMMANDS) == 3
    shown = [run(script, folder) for script in COMMANDS[1:]]
    assert [done.returncode for done in shown] == [0, 0], shown[-1].stderr[-3000:]
    assert "gated_mlp.config: ok" in shown[0].stdout and "my_models.GatedMLP; binary_cross_entropy" in shown[0].stdout
    assert "my_models.GatedMLP: model_config.custom_model, your own" in shown[0].stdout
    assert "    sharpness: float = 1\n    mlp: required MLP\n" in shown[0].stdout
    metrics = json.loads((folder / "runs/gated_mlp/eval_result.txt").read_text().splitlines()[-1])
    assert metrics["auc"] > 0.52
    scores = pq.read_table(folder / "scores")
    assert scores.num_rows == 5000 and all(0 < p < 1 for p in scores["probs"].to_pylist())
    # Here no code of the guide is loaded: the bundle's config names a message that nobody knows.
    assert "GatedMLP" in (folder / "bundle/pipeline.config").read_text()
    assert Predictor(folder / "bundle").output_names == ("logits", "probs")


def test_slips_are_told_with_their_places(folder: Path) -> None:
    text = FILES["gated_mlp.config"].replace("sharpness: 2", "sharpnes: 2").replace("[32, 16]", "[32, x]")
    (folder / "slip.config").write_text(text)
    done = run(f"{CHECK.replace('gated_mlp', 'slip')} --user_module gated_mlp.py", folder)
    assert done.returncode == 2
    line = text[: text.index("sharpnes")].count("\n") + 1
    assert f'slip.config:{line}:7: GatedMLP has no field "sharpnes"; did you mean "sharpness"?' in done.stderr
    assert f'slip.config:{line + 1}:32: hidden_units takes a whole number, not "x"' in done.stderr


def test_without_the_module(folder: Path) -> None:
    done = run(CHECK, folder)
    assert done.returncode == 2
    assert "nor any other; pass the file that calls register_model(MESSAGE, CLASS) for it" in done.stderr


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model_config.custom_model.sharpness=-1", "model_config.custom_model: sharpness is -1; allowed: above 0"),
        (
            "model_config.feature_groups[0].group_type=WIDE",
            "is of group_type WIDE, but model_config.custom_model needs",
        ),
    ],
)
def test_what_the_class_refuses_is_told_before_data_is_read(folder: Path, override: str, problem: str) -> None:
    script = f"{TRAIN} --model_dir none --train_input_path nowhere.parquet --set {override}"
    done = run(script, folder)
    assert done.returncode == 2 and problem in done.stderr, done.stderr
