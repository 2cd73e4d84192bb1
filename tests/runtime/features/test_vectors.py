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
SHARED_GROUPS = ("feature", "data_parser")


def _generated(case: dict[str, Any]) -> bool:
    """Whether every feature of the case is made by an operator that this version has."""
    texts = [case["config"], *case.get("extra_configs", [])]
    members = {name.removeprefix("sequence_") for text in texts for name in re.findall(r"(\w+) \{", text)}
    return members & FEATURE_KINDS.keys() <= REGISTRY.keys()


def _covered(case: dict[str, Any]) -> bool:
    return case["mode"] in ("FG_NONE", "FG_BUCKETIZE") or _generated(case)


COVERED = [case for case in CASES if _covered(case)]


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


@pytest.mark.parametrize("case", COVERED, ids=[case["id"] for case in COVERED])
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
    "case", [c for c in COVERED if "fg_default" in c.get("extra", {}) and c["mode"] != "FG_NONE"], ids=lambda c: c["id"]
)
def test_missing_value_gives_the_recorded_default(case, make_features, make_batch):
    features = make_features(case["mode"], case["config"])
    missing = {name: {"type": "string", "values": [None]} for name in case["inputs"]}
    output = features.generate(make_batch(missing))[case["name"]]
    expected = case["extra"]["fg_default"]
    expected = [] if expected is None else [expected] if np.isscalar(expected) else expected
    np.testing.assert_allclose(np.ravel(output.values), expected, rtol=1e-6)


def test_every_id_and_raw_case_and_every_encoded_case_is_covered():
    of_two = [case for case in CASES if case["id"].split("/")[0] in ("id", "raw")]
    encoded = [case for case in CASES if case["mode"] == "FG_NONE"]
    assert len(of_two) == 73
    assert all(case in COVERED for case in of_two + encoded)
    assert len(COVERED) >= 150
