"""bad_value_policy: BAD_VALUE_DEFAULT with custom operators."""

import pyarrow as pa
import pytest

from tzx.runtime.features.operators.custom import edit_distance

TOLERANT = "bad_value_policy: BAD_VALUE_DEFAULT"


def config(operator: str, inputs: str, rest: str = "", kind: str = "custom_feature", **params: str) -> str:
    fields = " ".join(f'fields {{ key: "{k}" value {{ string_value: "{v}" }} }}' for k, v in params.items())
    expressions = " ".join(f'expression: "{name}"' for name in inputs.split())
    return (
        f'{kind} {{ feature_name: "f" operator_name: "{operator}" operator_lib_file: "x.so" default_value: "7" '
        f"{expressions} operator_params {{ {fields} }} {rest} }}"
    )


@pytest.fixture(name="tolerant")
def _tolerant(make_features):
    def run(text: str, **columns):
        features = make_features("FG_NORMAL", text, data=TOLERANT)
        arrays = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in columns.items()}
        made = features.generate(pa.record_batch(arrays))["f"]
        return made, features.bad_values.get("f", 0)

    return run


def test_a_formula_over_elements(tolerant):
    text = config("SeqExpr", "user:a user:b", kind="sequence_custom_feature", formula="a - b")
    made, bad = tolerant(text, a=["10", "x", "20"], b=["1;z;3", "1;2", "5"])
    assert made.values.ravel().tolist() == [9, 7, 7, 7, 7, 15]
    assert made.seq_lengths.tolist() == [3, 2, 1]
    assert bad >= 2


def test_sequences_that_do_not_fit(tolerant):
    text = config("SeqExpr", "user:a user:b", kind="sequence_custom_feature", formula="a - b")
    made, bad = tolerant(text, a=["10;20", "1;2"], b=["1;2;3", "1;1"])
    assert (made.values.ravel().tolist(), made.seq_lengths.tolist(), bad) == ([7, 7, 0, 1], [2, 2], 1)


def test_texts(tolerant, monkeypatch):
    monkeypatch.setattr(edit_distance, "MAX_CHARACTERS", 5)
    made, bad = tolerant(config("EditDistance", "user:a user:b"), a=["abc", "z" * 30, "x" * 6], b=["abd", "a", "a"])
    assert (made.values.ravel().tolist(), bad) == ([1, 7, 7], 2)
    text = config("RegexReplace", "user:a", regex_pattern="[a-z]", replacement="")
    made, bad = tolerant(text, a=pa.array([b"a1", b"\xff", b"2x3", b"\xfe", b"1.2.3"]))
    assert (made.values.ravel().tolist(), bad) == ([1, 7, 23, 7, 7], 3)
