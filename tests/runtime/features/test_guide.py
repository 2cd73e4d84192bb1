"""The examples of docs/features.md are accepted, and the operator in it does what it says."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from tzx.runtime.config import parse_text
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.operators.custom import user
from tzx.runtime.user_module import load_user_module

GUIDE = (Path(__file__).parents[3] / "docs" / "features.md").read_text()
CONFIGS = re.findall(r"```protobuf\n(.*?)```", GUIDE, re.DOTALL)
HEAD = 'train_input_path: "train" eval_input_path: "eval" model_dir: "model"\n'
DATA = 'data_config { dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "label" }\n'


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: re.findall(r"(\w+) \{", text)[1])
def test_configs_make_features(text, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers").Tokenizer(__import__("tokenizers").models.BPE({"a": 0}, [])).save(
        str(tmp_path / "tokenizer.json")
    )
    monkeypatch.chdir(tmp_path)
    config = parse_text(HEAD + ("" if "data_config" in text else DATA) + text, "guide.config")
    assert FeatureSet.from_config(config.feature_configs, config.data_config).features


def test_the_operator(make_features, tmp_path, monkeypatch):
    monkeypatch.setattr(user, "_CLASSES", {})
    monkeypatch.syspath_prepend(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "operators_of_the_guide.py").write_text(code)
    load_user_module(str(tmp_path / "operators_of_the_guide.py"))
    features = make_features(
        "FG_NORMAL",
        'custom_feature { feature_name: "f" operator_name: "Hour" operator_lib_file: "" expression: "user:t" '
        'operator_params { fields { key: "offset" value { number_value: 3600 } } } default_value: "24" }',
    )
    made = features.generate(pa.record_batch({"t": [5 * 3600, None]}))["f"]
    assert made.values.tolist() == [[6], [24]]
