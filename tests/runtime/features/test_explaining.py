import io
import json

import pyarrow as pa
import pytest
from rich.console import Console

from tzx.runtime.features.explained_table import print_row
from tzx.runtime.features.explaining import explain_row

VOCAB = 'id_feature { feature_name: "w" expression: "user:w" vocab_list: ["a", "b"] default_value: "b" weighted: true }'
HASH = 'id_feature { feature_name: "h" expression: "user:h" hash_bucket_size: 100 default_value: "0" }'
RAW = 'raw_feature { feature_name: "p" expression: "item:p" normalizer: "method=log10,threshold=0,default=-1" }'
SEQUENCE = """sequence_id_feature {
  feature_name: "s" expression: "user:s" sequence_length: 2 hash_bucket_size: 100 value_dim: 1
}"""
COMBO = 'combo_feature { feature_name: "c" expression: ["user:h", "item:p"] hash_bucket_size: 100 }'
STUB = 'raw_feature { feature_name: "t" expression: "item:p" stub_type: true }'
READS = 'expr_feature { feature_name: "e" expression: "t + 1" variables: "feature:t" }'


@pytest.fixture(name="explain")
def _explain(make_features):
    def explain(*configs: str, wanted=(), mode="FG_DAG", **columns):
        row = pa.record_batch({name: [value] for name, value in columns.items()})
        found = list(explain_row(make_features(mode, *configs), row, wanted))
        return found, {one.feature.name: one.to_json() for one in found}

    return explain


def shown(explanations, elements: int = 5) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    print_row(console, "row 7", explanations, elements)
    return console.file.getvalue()


def test_a_missing_value_shows_its_default_and_the_id_of_it(explain):
    found, made = explain(HASH, h=pa.scalar(None, pa.string()))
    # Hash of "0" modulo 100, from the compatible system's vectors.
    assert made["h"]["slots"] == [
        {"values": [], "made": [26], "weights": None, "unknown": [], "cut": 0, "defaulted": True}
    ]
    assert "h = null" in shown(found)
    assert "missing -> default 0" in shown(found)


def test_unknown_words_and_weights_show(explain):
    found, made = explain(VOCAB, w="a:0.5\x1dzz:2")
    (slot,) = made["w"]["slots"]
    assert (slot["values"], slot["made"], slot["weights"]) == (["a", "zz"], [2, 1], [0.5, 2.0])
    assert slot["unknown"] == [False, True]
    text = shown(found)
    assert "zz not in the vocabulary" in text and "2 (weight 0.5)" in text
    assert r"'a:0.5\x1dzz:2'" in text, "separators are visible"


def test_numbers_before_and_after_the_normalizer(explain):
    _, made = explain(RAW, p=1000.0)
    assert made["p"]["inputs"] == [{"written": "item:p", "column": "p", "value": 1000.0}]
    assert made["p"]["slots"][0]["values"] == ["3"]
    assert made["p"]["slots"][0]["made"] == [3.0]


def test_a_sequence_shows_elements_lengths_and_what_was_cut(explain):
    found, made = explain(SEQUENCE, s="x\x1dy;;z")
    record = made["s"]
    assert (record["seq_length"], record["key_lengths"], record["elements_cut"]) == (2, [1, 1], 1)
    assert [slot["values"] for slot in record["slots"]] == [["x"], []]
    assert [slot["defaulted"] for slot in record["slots"]] == [False, True]
    assert record["slots"][0]["cut"] == 1
    text = shown(found)
    assert "0: x (+1 cut)" in text and "2 elements, 1 more cut off by sequence_length 2" in text


def test_only_some_elements_of_a_long_sequence_are_shown(explain):
    config = SEQUENCE.replace("sequence_length: 2", "sequence_length: 50")
    found, _ = explain(config, s=";".join(map(str, range(30))))
    text = shown(found, elements=3)
    assert "2: 2" in text and "3: 3" not in text and "... 30 elements" in text


def test_several_inputs_constants_and_features(explain):
    _, made = explain(COMBO, STUB, READS, wanted=("c", "e"), h="u", p=2.5)
    assert list(made) == ["c", "e"]
    assert [entry["column"] for entry in made["c"]["inputs"]] == ["h", "p"]
    assert made["c"]["slots"][0]["values"] == ["u_2.5"]
    assert made["e"]["inputs"] == [{"written": "feature:t", "column": "", "value": ["2.5"]}]
    assert made["e"]["slots"][0]["made"] == [3.5]


def test_an_error_stands_beside_the_stages_before_it(explain):
    config = 'id_feature { feature_name: "n" expression: "user:n" num_buckets: 10 }'
    found, made = explain(config, HASH, n=12, h="a")
    assert made["n"]["slots"][0]["values"] == ["12"]
    assert made["n"]["slots"][0]["made"] == []
    assert "id 12 is out of range" in made["n"]["error"]
    assert "error" not in made["h"]
    assert "out of range" in shown(found)


def test_encoded_columns_explain_too(explain):
    config = 'id_feature { feature_name: "n" num_buckets: 10 fg_encoded_default_value: "4" }'
    found, made = explain(config, mode="FG_NONE", n=pa.scalar(None, pa.int64()))
    assert made["n"]["slots"][0]["made"] == [4]
    assert "missing -> default 4" in shown(found)


def test_everything_is_strict_json(explain):
    config = 'expr_feature { feature_name: "l" expression: "log(p)" variables: "item:p" }'
    _, made = explain(config, p=0.0)
    assert json.loads(json.dumps(made, allow_nan=False))["l"]["slots"][0]["made"] == ["-inf"]


NO_TEXT = b"a\xff"


@pytest.mark.parametrize(
    ("bytes_type", "text_type", "value", "feature", "shown_as"),
    [
        (pa.binary(), pa.string(), NO_TEXT, HASH, "a\\xff"),
        (pa.list_(pa.binary()), pa.list_(pa.string()), [NO_TEXT, b"b"], HASH, ["a\\xff", "b"]),
        (
            pa.list_(pa.list_(pa.binary())),
            pa.list_(pa.list_(pa.string())),
            [[NO_TEXT], [b"b"]],
            SEQUENCE,
            [["a\\xff"], ["b"]],
        ),
        (
            pa.map_(pa.binary(), pa.int64()),
            pa.map_(pa.string(), pa.int64()),
            [(NO_TEXT, 2)],
            VOCAB.replace(" weighted: true", ""),
            ["a\\xff:2"],
        ),
    ],
)
def test_bytes_that_are_no_text_are_shown(make_features, bytes_type, text_type, value, feature, shown_as):
    features = make_features("FG_DAG", feature)
    # pyarrow makes no text of such bytes itself, but files may hold them.
    column = pa.array([value], bytes_type).cast(text_type, safe=False)
    (found,) = explain_row(features, pa.record_batch({features.input_columns[0]: column}))
    assert found.inputs[0].value == shown_as
    assert found.slots[0].values[0] in ("a\\xff", "a\\xff:2")
    json.dumps(found.to_json(), allow_nan=False)
