"""KvDotProduct against Python dicts."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import DataError

PAIRS = st.dictionaries(st.sampled_from("abcdef"), st.none() | st.sampled_from([0.5, 1.0, -2.0, 3.0]))


def config(rest: str = "") -> str:
    return f'kv_dot_product {{ feature_name: "f" query: "user:q" document: "item:d" separator: "|" {rest} }}'


def text(pairs: dict[str, float | None]) -> str:
    return "|".join(key if value is None else f"{key}:{value}" for key, value in pairs.items())


@given(st.lists(st.tuples(PAIRS, PAIRS), min_size=1, max_size=6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_equals_dicts(run, rows, as_lists):
    columns = [[text(row[side]) for row in rows] for side in (0, 1)]
    if as_lists:
        split = [[cell.split("|") if cell else [] for cell in side] for side in columns]
        columns = [pa.array(side, pa.list_(pa.string())) for side in split]
    made = run(config('default_value: "0.25"'), q=columns[0], d=columns[1])
    wanted = []
    for query, document in rows:
        values = [{key: 1.0 if value is None else value for key, value in side.items()} for side in (query, document)]
        dot = sum(values[0][key] * values[1][key] for key in values[0].keys() & values[1].keys())
        wanted.append(dot if query and document else 0.25)
    np.testing.assert_allclose(made.values.ravel(), wanted, rtol=1e-6)


def test_maps_with_text_on_the_other_side(run):
    maps = pa.array([[("a", 2), ("b", 3)], []], pa.map_(pa.string(), pa.int32()))
    assert run(config(), q=maps, d=["b:2|a", "a"]).values.tolist() == [[8], [0]]


def test_keys_alone_may_be_numbers(run):
    assert run(config(), q=pa.array([[1, 2]]), d=["2:5|3:7"]).values.tolist() == [[5]]


def test_elements_of_a_sequence(run):
    made = run(
        f'sequence_feature {{ sequence_name: "s" sequence_length: 9 features {{ {config()} }} }}',
        q=["a:2|b:3", "a"],
        s__d=["a:1;b:2;c", ""],
    )
    assert made.values.ravel().tolist() == [2, 6, 0, 0]


def test_bad_number(run):
    with pytest.raises(DataError, match=r"column 'd', row 1 of the batch: 'x' is not a number"):
        run(config(), q=["a", "a"], d=["a:1", "a:x"])
