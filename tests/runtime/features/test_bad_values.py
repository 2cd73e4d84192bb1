"""Broken input: an error that names its place, or the default for the rows concerned, and never anything for others."""

import logging
import pickle
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import DataError

TOLERANT = "bad_value_policy: BAD_VALUE_DEFAULT"
ID, NUMBER = 'feature_name: "f" embedding_dim: 4', 'feature_name: "f" default_value: "7"'
PLAIN = {
    "hash": f'id_feature {{ {ID} expression: "user:a" hash_bucket_size: 50 }}',
    "num_buckets": f'id_feature {{ {ID} expression: "user:a" num_buckets: 50 default_value: "3" }}',
    "weighted": f'id_feature {{ {ID} expression: "user:a" hash_bucket_size: 50 weighted: true }}',
    "integers": f'id_feature {{ {ID} expression: "user:a" hash_bucket_size: 50 fg_value_type: "int64" }}',
    "raw": f'raw_feature {{ {NUMBER} expression: "user:a" }}',
    "vector": f'raw_feature {{ {NUMBER} expression: "user:a" value_dim: 2 separator: "," }}',
    "boundaries": f'raw_feature {{ {NUMBER} expression: "user:a" embedding_dim: 4 boundaries: 0 boundaries: 5 }}',
    "combo": f'combo_feature {{ {ID} expression: "user:a" expression: "item:b" hash_bucket_size: 50 }}',
    "lookup": f'lookup_feature {{ {NUMBER} map: "user:a" key: "item:b" separator: "," combiner: "sum" }}',
    "lookup ids": f'lookup_feature {{ {ID} map: "user:a" key: "item:b" separator: "," num_buckets: 50 }}',
    "match": f'match_feature {{ {NUMBER} nested_map: "user:a" pkey: "item:b" skey: "ALL" }}',
    "expr": f'expr_feature {{ {NUMBER} expression: "a + b" variables: "user:a" variables: "item:b" }}',
    "overlap": 'overlap_feature { feature_name: "f" query: "user:a" title: "item:b" method: "query_common_ratio" }',
    "dot": f'kv_dot_product {{ {NUMBER} query: "user:a" document: "item:b" separator: "," }}',
    "mask": f'bool_mask_feature {{ {ID} expression: "user:a" expression: "item:b" num_buckets: 50 separator: "," }}',
    "combine": f'combine_feature {{ {NUMBER} expression: "user:a" combiner: "sum" separator: "," }}',
}
PIECES = ["1", "2.5", "-3", "49", "99", "a", "b", ":", ",", "|", "^", ";", "true", "false", "1e400", "nan", " ", "é"]
PIECES += ["\x1d", "\x00", "+", "a:b:c", "k:1", "1:1", "b:2", "1^1:2", "b^b:x", "9" * 25]
CELL = st.none() | st.lists(st.sampled_from(PIECES), max_size=5).map("".join) | st.text(max_size=6)
CELL = CELL.map(lambda text: None if text is None else text.encode("utf-8", "replace"))
BYTES = st.none() | st.binary(max_size=6) | CELL
ROWS = st.lists(st.tuples(BYTES, BYTES), min_size=1, max_size=6)


def table(rows) -> pa.RecordBatch:
    """Columns of text that may be no UTF-8 at all."""
    columns = {}
    for at, name in enumerate("ab"):
        array = pa.array([row[at] for row in rows], pa.binary())
        columns[name] = pa.Array.from_buffers(pa.string(), len(array), array.buffers(), array.null_count)
    return pa.record_batch(columns)


def slots(output) -> list:
    """Values and weights of every row."""
    if not hasattr(output, "lengths"):
        return output.values.tolist()
    ends = np.cumsum(output.lengths)
    spans = list(zip(ends - output.lengths, ends, strict=True))
    weights = np.zeros(len(output.values)) if output.weights is None else output.weights
    return [list(zip(output.values[a:b].tolist(), weights[a:b].tolist(), strict=True)) for a, b in spans]


def same(made, wanted) -> None:
    assert str(made) == str(wanted)  # where NaN equals NaN


@pytest.mark.parametrize("mode", ["FG_NORMAL", "FG_NONE"])
@pytest.mark.parametrize("kind", PLAIN)
@given(rows=ROWS)
@settings(max_examples=60, deadline=None)
def test_a_bad_row_is_a_missing_row_and_others_are_as_if_alone(make_features, kind, mode, rows):
    if mode == "FG_NONE":
        config = PLAIN[kind].replace('feature_name: "f"', 'feature_name: "a" fg_encoded_default_value: "2"')
        name = "a"
    else:
        config, name = PLAIN[kind], "f"
    strict, tolerant = make_features(mode, config), make_features(mode, config, data=TOLERANT)
    wanted, bad = [], 0
    for row in rows:
        try:
            wanted += slots(strict.generate(table([row]))[name])
        except DataError as error:
            assert f"feature '{name}', column" in str(error) and "row 0" in str(error)
            wanted += slots(strict.generate(table([(None, None)]))[name])
            bad += 1
    same(slots(tolerant.generate(table(rows))[name]), wanted)
    assert tolerant.bad_values == ({name: bad} if bad else {})
    if bad:
        with pytest.raises(DataError):
            strict.generate(table(rows))


@pytest.mark.parametrize("kind", PLAIN)
@given(rows=ROWS)
@example(rows=[(b"1;x;2", b"1;2"), (b"1;2", b"1;2;3"), (b";;", b"b;b;b"), (b"5;6", b"7;8")])
@settings(max_examples=40, deadline=None)
def test_elements_of_sequences_keep_their_places(make_features, kind, rows):
    body = PLAIN[kind].replace("user:a", "item:a")
    group = f'sequence_feature {{ sequence_name: "s" sequence_length: 4 features {{ {body} }} }}'
    strict, tolerant = make_features("FG_NORMAL", group), make_features("FG_NORMAL", group, data=TOLERANT)
    batch = table(rows).rename_columns(["s__a", "s__b"])
    made = tolerant.generate(batch)["s__f"]
    elements = [min(4, len(row[0].split(b";"))) if row[0] else 1 for row in rows]
    assert made.seq_lengths.tolist() == elements
    assert len(getattr(made, "key_lengths", made.values)) == sum(elements)
    try:
        wanted = strict.generate(batch)["s__f"]
    except DataError:
        assert tolerant.bad_values["s__f"] > 0
    else:
        assert tolerant.bad_values == {}
        np.testing.assert_array_equal(made.values, wanted.values)


def test_one_bad_element_among_good_ones(make_features):
    body = f'raw_feature {{ {NUMBER} expression: "user:c" }}'
    group = f'sequence_feature {{ sequence_name: "s" sequence_length: 4 features {{ {body} }} }}'
    features = make_features("FG_NORMAL", group, data=TOLERANT)
    for column in (["1;x;2", "y", "3;4"], [["1", "x", "2"], ["y"], ["3", "4"]]):
        made = features.generate(pa.record_batch({"s__c": column}))["s__f"]
        assert made.values.ravel().tolist() == [1, 7, 2, 7, 3, 4]
        assert made.seq_lengths.tolist() == [3, 1, 2]
    nested = pa.array([[[1.0], [2.0, None]], [[None], [4.0]]], pa.list_(pa.list_(pa.float32())))
    made = features.generate(pa.record_batch({"s__c": nested}))["s__f"]
    assert made.values.ravel().tolist() == [1, 7, 7, 4]


def test_reports_the_first_and_then_every_tenfold(make_features, caplog):
    features = make_features("FG_NORMAL", PLAIN["raw"], data=TOLERANT)
    with caplog.at_level(logging.WARNING, "tzx"):
        for _ in range(20):
            features.generate(pa.record_batch({"a": ["1", "x", "y"]}))
    assert features.bad_values == {"f": 40}
    assert len(caplog.records) == 2
    assert "feature 'f', column 'a', row 1 of the batch: 'x' is not a number" in caplog.records[0].message
    assert pickle.loads(pickle.dumps(features)).bad_values == {}


def test_without_a_default_the_first_bad_value_is_an_error(make_features):
    config = 'raw_feature { feature_name: "a" expression: "user:a" }'
    features = make_features("FG_NONE", config, data=TOLERANT)
    with pytest.raises(DataError, match=r"row 1 .*'x' is not a number; taken as missing: .*set fg_encoded_default"):
        features.generate(pa.record_batch({"a": ["1", "x"]}))


def test_a_stub_that_others_read(make_features):
    stub = 'raw_feature { feature_name: "g" expression: "user:a" default_value: "5" stub_type: true }'
    reader = 'expr_feature { feature_name: "f" expression: "g * 2" variables: "feature:g" }'
    features = make_features("FG_DAG", stub, reader, data=TOLERANT)
    assert features.generate(pa.record_batch({"a": ["1", "x"]}))["f"].values.ravel().tolist() == [2, 10]
    assert features.bad_values == {"g": 1}


@pytest.mark.parametrize("policy", ["BAD_VALUE_ERROR", "BAD_VALUE_DEFAULT"])
@pytest.mark.parametrize("kind", PLAIN)
def test_huge_cells(make_features, kind, policy):
    features = make_features("FG_NORMAL", PLAIN[kind], data=f"bad_value_policy: {policy}")
    alone = make_features("FG_NORMAL", PLAIN[kind], data=TOLERANT)
    long, lists = "x" * 10_000_000, pa.array([["1"], ["1"] * 1_000_000])
    many = ",".join(["1"] * 1_000_000)
    for column in (pa.array(["1", long]), pa.array(["1", many]), lists):
        batch = pa.record_batch({"a": column, "b": ["1", "1"]})
        try:
            made = slots(features.generate(batch)["f"])
        except DataError as error:
            assert policy == "BAD_VALUE_ERROR" and alone.generate(batch) and alone.bad_values
            assert re.match(r"feature 'f', column '[ab]', row \d", str(error)) and len(str(error)) < 300
        else:
            same(made[:1], slots(alone.generate(batch.slice(0, 1))["f"]))
            assert len(made) == 2
