"""LookupFeature against Python dicts."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError

KEYS = [f"k{i}" for i in range(40)]
MAPS = st.none() | st.lists(st.tuples(st.sampled_from(KEYS), st.integers(-9, 9)), max_size=40)
ASKED = st.none() | st.lists(st.sampled_from(KEYS), max_size=6)


def gaps(values: list[float]) -> list[float]:
    """Differences of neighbours in rising order; 0 for a single value."""
    rising = sorted(values)
    return [b - a for a, b in pairwise(rising)] or [0]


COMBINERS = {"sum": sum, "mean": lambda x: sum(x) / len(x), "min": min, "max": max, "count": len} | {
    "gap_min": lambda x: min(gaps(x)),
    "gap_max": lambda x: max(gaps(x)),
}


def config(rest: str) -> str:
    return f'lookup_feature {{ feature_name: "f" map: "user:m" key: "item:k" {rest} }}'


def map_column(rows, as_map: bool) -> pa.Array:
    if as_map:
        # A map array may hold a key twice; the last one counts.
        return pa.array(rows, pa.map_(pa.string(), pa.int64()))
    return pa.array([None if row is None else "\x1d".join(f"{k}:{v}" for k, v in row) for row in rows], pa.string())


@given(st.lists(st.tuples(MAPS, ASKED), min_size=1, max_size=5), st.sampled_from(sorted(COMBINERS)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_combined_numbers(run, rows, combiner, as_map):
    made = run(
        config(f'combiner: "{combiner}" default_value: "-100"'),
        m=map_column([row[0] for row in rows], as_map),
        k=pa.array([row[1] for row in rows], pa.list_(pa.string())),
    )
    wanted = []
    for entries, keys in rows:
        held = dict(entries or [])
        found = [held[key] for key in keys or [] if key in held]
        wanted.append([COMBINERS[combiner](found) if found else -100])
    np.testing.assert_allclose(made.values, np.float32(wanted), rtol=1e-6)


@given(st.lists(st.tuples(MAPS, st.lists(ASKED, max_size=4)), min_size=1, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_ids_of_sequences(run, slots, rows, as_map):
    text = [";".join("\x1d".join(keys or []) for keys in row[1]) for row in rows]
    body = config('num_buckets: 30 embedding_dim: 4 default_value: "29"')
    made = run(
        f'sequence_feature {{ sequence_name: "s" sequence_length: 50 features {{ {body} }} }}',
        m=map_column([None if row[0] is None else [(k, abs(v)) for k, v in row[0]] for row in rows], as_map),
        s__k=text,
    )
    wanted = []
    for (entries, _), sequence in zip(rows, text, strict=True):
        held = {k: abs(v) for k, v in entries or []}
        for element in sequence.split(";") if sequence else [""]:
            wanted.append([held[key] for key in element.split("\x1d") if key in held] or [29])
    assert slots(made) == wanted


def test_key_goes_before_the_value(run):
    rest = 'need_key: true embedding_dim: 4 vocab_list: "a_x" vocab_list: "b_y"'
    assert run(config(rest), m=["a:x\x1db:y"], k=["b\x1da"]).values.tolist() == [3, 2]


def test_vectors_of_several_keys_are_combined_place_by_place(run):
    maps = ["a:1,2\x1db:10,20", "a:1,2", ""]
    for combiner, first in (("sum", [11, 22]), ("max", [10, 20]), ("mean", [5.5, 11])):
        made = run(config(f'value_dim: 2 combiner: "{combiner}"'), m=maps, k=["a\x1db", "a\x1db", "a"])
        assert made.values.tolist() == [first, [1, 2], [0, 0]]
    with pytest.raises(DataError, match="4 numbers where value_dim is 2"):
        run(config('value_dim: 2 combiner: ""'), m=maps, k=["a\x1db", "a", "a"])


def test_normalizer_spares_the_default(run):
    rest = 'normalizer: "method=zscore,mean=1,standard_deviation=2" default_value: "7"'
    assert run(config(rest), m=["a:5", ""], k=["a", "a"]).values.tolist() == [[2], [7]]


def test_value_of_a_map_may_be_null(run):
    column = pa.array([[("a", None), ("b", 2.0)]], pa.map_(pa.string(), pa.float64()))
    assert run(config('combiner: "sum"'), m=column, k=["a\x1db"]).values.tolist() == [[2]]


def test_errors(run):
    with pytest.raises(DataError, match=r"column 'm', row 1 of the batch: 'x' is not a number"):
        run(config(""), m=["a:1", "a:x"], k=["a", "a"])
    with pytest.raises(ConfigError, match="combiner is 'median'; allowed are sum"):
        run(config('combiner: "median"'), m=["a:1"], k=["a"])
