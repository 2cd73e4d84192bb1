"""An element of a sequence is made as a row of a plain feature is, whatever the operator, grouped or stand-alone."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ID = 'feature_name: "f" embedding_dim: 4 value_dim: 0 default_value: "3"'
NUMBER = 'feature_name: "f" default_value: "7"'
NUMERALS = ["1", "2", "30", "4\x1d2", ""]
WORDS = ["a", "b", "a\x1db", "c\x1da\x1dc", "longer than eight", ""]
PAIRS = ["a:1", "b:2\x1da:3", "c:4\x1dc:5", "a", ""]
NESTED = ["a^a:1,b:2|b^a:3", "b^b:4", "c^a:1", ""]
DISTANCE = 'operator_name: "EditDistance" operator_lib_file: "-"'
FORMULA = 'operator_name: "SeqExpr" operator_lib_file: "-" '
FORMULA += 'operator_params { fields { key: "formula" value { string_value: "a - b" } } }'
# Kind, body, and the cells of a, which belongs to the row or to the elements, and of b, which belongs to the elements.
KINDS = {
    "id": ("id_feature", f'{ID} expression: "item:b" hash_bucket_size: 50', None, WORDS),
    "raw": ("raw_feature", f'{NUMBER} expression: "item:b"', None, ["1", "-2.5", "30", ""]),
    "combo": ("combo_feature", f'{ID} expression: "user:a" expression: "item:b" hash_bucket_size: 50', WORDS, WORDS),
    "lookup": ("lookup_feature", f'{NUMBER} map: "user:a" key: "item:b" combiner: "sum"', ["a:1\x1db:2", ""], WORDS),
    "match": ("match_feature", f'{NUMBER} nested_map: "user:a" pkey: "item:b" skey: "const:a"', NESTED, WORDS[:2]),
    "expr": (
        "expr_feature",
        f'{NUMBER} expression: "a + 2 * b" variables: "user:a" variables: "item:b"',
        NUMERALS[:3],
        NUMERALS,
    ),
    "overlap": (
        "overlap_feature",
        'feature_name: "f" query: "user:a" title: "item:b" method: "index_of"',
        WORDS,
        WORDS,
    ),
    "dot": ("kv_dot_product", f'{NUMBER} query: "user:a" document: "item:b"', PAIRS, PAIRS),
    "mask": (
        "bool_mask_feature",
        f'{ID} expression: "user:a" expression: "item:b" num_buckets: 50',
        ["1\x1d2", ""],
        ["true\x1dfalse", "false\x1dtrue", "1\x1d1"],
    ),
    "combine": ("combine_feature", f'{NUMBER} expression: "item:b" combiner: "max"', None, NUMERALS),
    "distance": ("custom_feature", f'{NUMBER} expression: "user:a" expression: "item:b" {DISTANCE}', WORDS, WORDS),
    "formula": (
        "custom_feature",
        f'{NUMBER} expression: "user:a" expression: "item:b" {FORMULA}',
        NUMERALS[:3],
        NUMERALS[:3],
    ),
}


@pytest.fixture(scope="module")
def made_before():
    """Feature sets by kind, because making them takes longer than using them."""
    return {}


def configs(kind, body, grouped):
    """The sequence and the plain feature."""
    if grouped:
        inner = f"features {{ {kind} {{ {body} }} }}"
        return f'sequence_feature {{ sequence_name: "s" sequence_length: 3 {inner} }}', f"{kind} {{ {body} }}"
    return f'sequence_{kind} {{ {body} sequence_length: 3 sequence_delim: ";" }}', f"{kind} {{ {body} }}"


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=st.integers(1, 4))
def test_elements_are_made_like_rows(make_features, made_before, data, rows, name, grouped):
    kind, body, row_cells, element_cells = KINDS[name]
    if (name, grouped) not in made_before:
        made_before[name, grouped] = [make_features("FG_NORMAL", text) for text in configs(kind, body, grouped)]
    in_sequence, plain = made_before[name, grouped]
    texts = data.draw(st.lists(st.sampled_from(row_cells or [""]), min_size=rows, max_size=rows))
    some = st.lists(st.sampled_from(element_cells), max_size=5)
    elements = data.draw(st.lists(some, min_size=rows, max_size=rows))
    prefix = "s__" if grouped else ""
    columns = {"a": pa.array(texts), f"{prefix}b": pa.array([";".join(row) for row in elements])}
    (made,) = in_sequence.generate(pa.record_batch(columns)).values()
    # The text of one empty element is that of none: both are one missing element.
    kept = [row[:3] or [""] for row in elements]
    flat = {
        "a": pa.array([text for text, row in zip(texts, kept, strict=True) for _ in row]),
        "b": pa.array([element for row in kept for element in row]),
    }
    (wanted,) = plain.generate(pa.record_batch(flat)).values()
    np.testing.assert_array_equal(made.values, wanted.values)
    assert made.seq_lengths.tolist() == [len(row) for row in kept]
    if hasattr(wanted, "lengths"):
        assert made.key_lengths.tolist() == wanted.lengths.tolist()
