"""The recorded input -> output cases of the compatible system, through the real config parser."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tzx.runtime.features import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.features.kinds import KINDS as FEATURE_KINDS
from tzx.runtime.features.operators import REGISTRY

CASES = json.loads((Path(__file__).parent / "feature_vectors.json").read_text())
KINDS = {
    "sparse": SparseData,
    "dense": DenseData,
    "sequence_sparse": SequenceSparseData,
    "sequence_dense": SequenceDenseData,
}


def _sorted_pairs(data: SparseData) -> list[tuple[int, float]]:
    assert data.weights is not None
    return sorted(zip(data.values.tolist(), np.round(data.weights, 5).tolist(), strict=True))


def _check(data: FeatureData, expected: dict[str, Any]) -> None:
    assert type(data) is KINDS[expected["kind"]]
    if expected.get("weights") is not None:
        wanted = zip(expected["values"], np.round(np.float32(expected["weights"]), 5).tolist(), strict=True)
        assert isinstance(data, SparseData)
        assert _sorted_pairs(data) == sorted(wanted)
        expected = {"lengths": expected["lengths"]}
    for name in {field.name for field in fields(data)} & expected.keys():
        np.testing.assert_allclose(getattr(data, name), expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_output_equals_recorded_output(case, make_features, make_batch, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, content in case.get("files", {}).items():
        (tmp_path / name).write_text(content)
    for name, value in case.get("env", {}).items():
        monkeypatch.setenv(name, value)
    separator = case.get("fg_encoded_multival_sep")
    data = f'fg_encoded_multival_sep: "{separator}"' if separator else ""
    features = make_features(case["mode"], *case.get("extra_configs", []), case["config"], data=data)
    output = features.generate(make_batch(case["inputs"]), case.get("is_training", False))[case["name"]]
    _check(output, case["expect"])
    feature = features.by_name[case["name"]]
    for name, value in case.get("extra", {}).items():
        if name == "inputs":
            assert feature.inputs == tuple([value] if isinstance(value, str) else value)
        elif name != "fg_default":
            assert getattr(feature, name) == value, name


@pytest.mark.parametrize(
    "case", [c for c in CASES if "fg_default" in c.get("extra", {}) and c["mode"] != "FG_NONE"], ids=lambda c: c["id"]
)
def test_missing_value_gives_the_recorded_default(case, make_features, make_batch):
    features = make_features(case["mode"], case["config"])
    missing = {name: {"type": "string", "values": [None]} for name in case["inputs"]}
    output = features.generate(make_batch(missing))[case["name"]]
    expected = case["extra"]["fg_default"]
    expected = [] if expected is None else [expected] if np.isscalar(expected) else expected
    np.testing.assert_allclose(np.ravel(output.values), expected, rtol=1e-6)


def test_every_feature_type_that_is_generated_has_cases():
    texts = [case["config"] for case in CASES if case["mode"] in ("FG_NORMAL", "FG_DAG")]
    members = {name.removeprefix("sequence_") for text in texts for name in re.findall(r"(\w+) \{", text)}
    assert len(CASES) == 223
    # What a tokenizer makes depends on files too large to keep; its own tests train small ones.
    assert FEATURE_KINDS.keys() - members == {"tokenize_feature"}
    assert FEATURE_KINDS.keys() == REGISTRY.keys()
