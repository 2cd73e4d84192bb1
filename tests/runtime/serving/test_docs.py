"""The Python shown in docs/export_and_predict.md works as it stands there, but for the paths."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tzx.runtime.data.packing import pack
from tzx.runtime.serving import Predictor
from tzx.runtime.serving.tensors import flatten

GUIDE = Path(__file__).parents[3] / "docs" / "export_and_predict.md"


@pytest.fixture(scope="module")
def snippets():
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)


def run(code, bundle, **replacements):
    for old, new in {"export/1": str(bundle), **replacements}.items():
        assert old in code
        code = code.replace(old, new)
    scope = {}
    exec(code, scope)
    return scope


def test_predicting(snippets, bundles, data, capsys):
    row = {k: v for k, v in data.rows.slice(0, 1).to_pylist()[0].items() if k not in ("row", "click", "stars")}
    scope = run(snippets[0], bundles("deepfm"), **{'{"user_id": "3", "item_id": "17"}': repr(row)})
    assert "clicks__item" in capsys.readouterr().out
    wanted = data.trained("deepfm").predict(data.rows.slice(0, 1).to_batches()[0])
    np.testing.assert_allclose(scope["scores"]["probs"], wanted["probs"], atol=1e-5)


def test_filling_in_the_weights_for_torch(snippets, bundles, data):
    program = run(snippets[1], bundles("multi_tower_din"))["program"]
    predictor = Predictor(bundles("multi_tower_din"))
    rows = data.rows.slice(0, 40).combine_chunks().to_batches()[0]
    batch = pack(predictor.features.generate(rows), predictor.layout, 40)
    with torch.no_grad():
        logits, _ = program.module()(*flatten(batch))
    np.testing.assert_allclose(logits.numpy(), predictor.predict(rows)["logits"], atol=1e-5)


def test_every_flag_is_described():
    from tzx.apps import export, predict

    text = GUIDE.read_text()
    for app in (export, predict):
        flags = {name for action in app.build_parser()._actions for name in action.option_strings if name[:2] == "--"}
        assert {name for name in flags if f"`{name}" not in text and f" {name}" not in text} <= {"--help", "--debug"}
