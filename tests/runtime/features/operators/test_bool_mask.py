"""BoolMaskFeature against zip."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError

PAIRS = st.none() | st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=5)


def config(rest: str = "num_buckets: 10", inputs: str = 'expression: "user:v" expression: "user:b"') -> str:
    return f'bool_mask_feature {{ feature_name: "f" {inputs} embedding_dim: 4 separator: "," {rest} }}'


@given(st.lists(PAIRS, min_size=1, max_size=6), st.sampled_from(["text", "lists", "mixed"]), st.sampled_from([0, 2]))
@settings(max_examples=80, deadline=None)
def test_equals_zip(run, slots, rows, form, width):
    values = [row and [value for value, _ in row] for row in rows]
    flags = [row and [flag for _, flag in row] for row in rows]
    if form == "text":
        values = [row and ",".join(map(str, row)) for row in values]
    if form in ("text", "mixed"):
        flags = [row and ",".join("True" if flag else "false" for flag in row) for row in flags]
    types = {"text": (pa.string(), pa.string()), "lists": (pa.list_(pa.int64()), pa.list_(pa.bool_()))}
    value_type, flag_type = types.get(form, (pa.list_(pa.int64()), pa.string()))
    values = [None if row == [] and form == "text" else row for row in values]
    flags = [None if row == [] and form != "lists" else row for row in flags]
    columns = {"v": pa.array(values, value_type), "b": pa.array(flags, flag_type)}
    made = run(config(f"num_buckets: 10 value_dim: {width}"), **columns)
    assert slots(made) == [[value for value, flag in row or [] if flag][: width or None] for row in rows]


def test_empty_values_keep_their_place_and_are_dropped_at_last(run, slots):
    assert slots(run(config(), v=["1,,3", ",2"], b=["0,1,1", "1,1"])) == [[3], [2]]


def test_default_where_nothing_is_left(run, slots):
    rest = 'num_buckets: 10 default_value: "7"'
    assert slots(run(config(rest), v=["1", None], b=["false", "true"])) == [[7], [7]]


def test_errors(run):
    with pytest.raises(DataError, match=r"column 'b', row 1 of the batch: 2 flags for 3 values"):
        run(config(), v=["1", "1,2,3"], b=["1", "1,0"])
    with pytest.raises(DataError, match=r"column 'b', row 0 of the batch: 'maybe' is not true or false"):
        run(config(), v=["1"], b=["maybe"])
    with pytest.raises(ConfigError, match="it has 1 inputs; it needs two"):
        run(config(inputs='expression: "user:v"'), v=["1"])
