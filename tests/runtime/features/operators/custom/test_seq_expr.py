"""SeqExpr: elements against a loop over them, named functions, and sequences that do not fit together."""

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError


def config(formula: str, inputs: str, rest: str = "", kind: str = "sequence_custom_feature") -> str:
    expressions = " ".join(f'expression: "{name}"' for name in inputs.split())
    params = f'fields {{ key: "formula" value {{ string_value: "{formula}" }} }}'
    return (
        f'{kind} {{ feature_name: "f" operator_name: "SeqExpr" operator_lib_file: "pyfg/lib/libseq_expr.so" '
        f"operator_params {{ {params} }} {expressions} {rest} }}"
    )


cells = st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=4)


CASES = (
    st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([2, 50]),
)


def check_equals_a_loop_over_elements(run, rows, as_text, length):
    expected, counts, refused = [], [], False
    for row in rows:
        a, b = ((cell or [None])[:length] for cell in row)
        count = max(len(a), len(b))
        refused |= len({1, count, len(a), len(b)}) > 2
        a, b = a * count if len(a) == 1 else a, b * count if len(b) == 1 else b
        expected += [5 if None in pair else pair[0] - 2 * pair[1] for pair in zip(a, b, strict=False)]
        counts.append(count)
    columns: dict[str, Any] = {name: [row[at] for row in rows] for at, name in enumerate("ab")}
    if as_text:
        # No text says that a sequence has one missing element; an empty sequence has the same effect.
        columns = {
            name: [cell and ";".join("" if x is None else str(x) for x in cell) for cell in column]
            for name, column in columns.items()
        }
    kind = pa.string() if as_text else pa.list_(pa.int64())
    text = config("a - 2 * b", "user:a user:b", f'default_value: "5" sequence_length: {length}')
    arrays = {name: pa.array([cell or None for cell in column], kind) for name, column in columns.items()}
    if refused:
        with pytest.raises(DataError, match=r"feature 'f', column '[ab]', row \d.*elements, but"):
            run(text, **arrays)
        return
    made = run(text, **arrays)
    assert made.values.ravel().tolist() == expected
    assert made.seq_lengths.tolist() == counts


@given(*CASES)
@settings(max_examples=150, deadline=None)
def test_equals_a_loop_over_elements(run, rows, as_text, length):
    check_equals_a_loop_over_elements(run, rows, as_text, length)


@pytest.mark.slow
@given(*CASES)
@settings(max_examples=2000, deadline=None)
def test_equals_a_loop_over_elements_many_times(run, rows, as_text, length):
    check_equals_a_loop_over_elements(run, rows, as_text, length)


def test_grouped_with_marked_inputs_and_numbers_of_the_row(make_features):
    member = config("max(a, b) + c", "user:a item:b user:c", kind="custom_feature")
    group = f'sequence_feature {{ sequence_name: "s" sequence_length: 9 sequence_delim: "|" features {{ {member} }} }}'
    features = make_features("FG_DAG", group)
    assert features.input_columns == ("a", "s__b", "c")
    made = features.generate(pa.record_batch({"a": [2, 3], "s__b": ["1|5|", None], "c": ["10", "20"]}))["s__f"]
    assert (made.values.ravel().tolist(), made.seq_lengths.tolist()) == ([12, 15, 0, 0], [3, 1])


def test_plain_features_take_formulas_too(run):
    text = config("dot(a, b)", "user:a item:b", 'separator: ","', "custom_feature")
    assert run(text, a=["1,2", None, "3"], b=["3,4", "1", "1,1"]).values.tolist() == [[11], [0], [6]]


@pytest.mark.parametrize("name", ["spherical_distance", "sphere_dist", "haversine"])
def test_named_distance(run, name):
    made = run(
        config(name, "user:x-1 user:y-1 user:x-2 user:y-2", kind="custom_feature"),
        **{"x-1": [116.4074], "y-1": [39.9042], "x-2": [121.4737], "y-2": [31.2304]},
    )
    assert made.values[0, 0] == pytest.approx(1067, abs=2)


def test_any_function_by_name_and_a_normalizer(run):
    text = config("euclid_dist", "user:a user:b", 'separator: "," normalizer: "method=log10"', "custom_feature")
    assert run(text, a=["0,0"], b=["30,40"]).values[0, 0] == pytest.approx(math.log10(50))
    # An input called like a function is that input.
    assert run(config("max", "user:max", kind="custom_feature"), max=[3]).values.tolist() == [[3]]


@pytest.mark.parametrize(
    ("formula", "inputs", "problem"),
    [
        ("a + bb", "user:a user:b", "unknown name 'bb'; did you mean 'b'? at position 5"),
        ("spherical_distance", "user:a user:b", "sphere_dist takes 4 arguments, 2 given"),
        ("spherical_distanc", "user:a", "unknown name 'spherical_distanc'"),
        ("a", "user:a item:a", "variable 'a' is given twice"),
    ],
)
def test_config_errors(make_features, formula, inputs, problem):
    with pytest.raises(ConfigError) as caught:
        make_features("FG_NORMAL", config(formula, inputs))
    assert problem in str(caught.value)
