"""CombineFeature against Python's own sums."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError


def gaps(values: list[float]) -> list[float]:
    """Differences of neighbours in rising order; 0 for a single value."""
    rising = sorted(values)
    return [b - a for a, b in pairwise(rising)] or [0]


COMBINERS = {
    "sum": sum,
    "mean": lambda x: sum(x) / len(x),
    "avg": lambda x: sum(x) / len(x),
    "min": min,
    "max": max,
    "count": len,
    "gap_min": lambda x: min(gaps(x)),
    "gap_max": lambda x: max(gaps(x)),
}
NUMBERS = st.none() | st.lists(st.sampled_from([0.5, 1.0, -2.0, 30.0]), max_size=5)


def config(rest: str, kind: str = "combine_feature") -> str:
    return f'{kind} {{ feature_name: "f" expression: "user:c" {rest} }}'


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.sampled_from(sorted(COMBINERS)), st.booleans())
@settings(max_examples=80, deadline=None)
def test_equals_python(run, rows, combiner, as_text):
    column = pa.array(rows, pa.list_(pa.float64()))
    if as_text:
        column = pa.array([None if row is None else "\x1d".join(map(str, row)) for row in rows], pa.string())
    made = run(config(f'combiner: "{combiner}" default_value: "-1"'), c=column)
    wanted = [COMBINERS[combiner](row) if row else -1 for row in rows]
    np.testing.assert_allclose(made.values.ravel(), wanted, rtol=1e-6)


NAMED = 'value_map { key: "a" value: 1.5 } value_map { key: "b" value: 2 } default_value: "9"'


def test_names_stand_for_numbers_and_others_are_left_out(run):
    assert run(config(NAMED), c=["a\x1db", "b\x1dz", "z", None]).values.ravel().tolist() == [3.5, 2, 9, 9]


def test_ids_are_cut_off_not_rounded(run):
    rest = f'embedding_dim: 4 num_buckets: 10 combiner: "mean" {NAMED}'
    assert run(config(rest), c=["a\x1db", "b", "z"]).values.tolist() == [1, 2, 9]


def test_sequence_and_normalizer(run):
    rest = 'combiner: "max" normalizer: "method=minmax,min=0,max=4" default_value: "7"'
    made = run(config(rest, "sequence_combine_feature"), c=["1\x1d2;4", ";3"])
    assert made.values.ravel().tolist() == [0.5, 1, 7, 0.75]
    assert made.seq_lengths.tolist() == [2, 2]


def test_errors(run):
    with pytest.raises(DataError, match=r"row 1 of the batch: 'x' is not a number"):
        run(config(""), c=["1", "2\x1dx"])
    with pytest.raises(ConfigError, match="combiner is ''; allowed are sum"):
        run(config('combiner: ""'), c=["1"])
