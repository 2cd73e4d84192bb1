"""What a user reads when data or a config cannot be used: feature, column, row, value and what is allowed."""

import pyarrow as pa
import pytest

from tzx.runtime.errors import ConfigError, DataError

NUM_BUCKETS = 'id_feature { feature_name: "f" expression: "user:c" embedding_dim: 4 num_buckets: 10 }'
RAW = 'raw_feature { feature_name: "f" expression: "user:c" default_value: "" }'
RAW_2 = 'raw_feature { feature_name: "f" expression: "user:c" value_dim: 2 }'
WEIGHTED = 'id_feature { feature_name: "f" expression: "user:c" embedding_dim: 4 num_buckets: 10 weighted: true }'
SEQUENCE = (
    'sequence_id_feature { feature_name: "f" expression: "user:c" embedding_dim: 4 num_buckets: 10 value_dim: 0 }'
)
SEQUENCE_RAW = 'sequence_raw_feature { feature_name: "f" expression: "user:c" }'
VOCAB = 'vocab_list: "a" vocab_list: "b"'


def data_error(features, array, metadata=None, column="c"):
    batch = pa.record_batch({column: array}).replace_schema_metadata(metadata)
    with pytest.raises(DataError) as caught:
        features.generate(batch)
    return str(caught.value)


@pytest.mark.parametrize(
    ("config", "array", "row", "problem"),
    [
        (NUM_BUCKETS, pa.array([1, 10]), 1, "id 10 is out of range; allowed are 0 to 9 (num_buckets)"),
        (NUM_BUCKETS, pa.array([None, 1, -1]), 2, "id -1 is out of range; allowed are 0 to 9 (num_buckets)"),
        (NUM_BUCKETS, pa.array(["1", "2\x1d3\x1d77"]), 1, "id 77 is out of range"),
        (NUM_BUCKETS, pa.array(["1", None, "x"]), 2, "'x' is not an integer"),
        (NUM_BUCKETS, pa.array(["9" * 30]), 0, "'999999999999999999999999999999' does not fit a 64-bit integer"),
        (NUM_BUCKETS, pa.array(["y" * 100]), 0, f"'{'y' * 60}'... is not an integer"),
        (NUM_BUCKETS, pa.array([1.0, 2.5]), 1, "2.5 is not an integer"),
        (NUM_BUCKETS, pa.array([b"1", b"\xff"]), 1, "'\\\\xff' is not an integer"),
        (RAW, pa.array(["1.5", "abc"]), 1, "'abc' is not a number"),
        (RAW, pa.array([1.0, None]), 1, "the value is missing and there is no default; set default_value"),
        (RAW, pa.array(["1", "1\x1d2"]), 1, "2 numbers where value_dim is 1"),
        (RAW_2, pa.array(["1\x1d2", "3"]), 1, "1 numbers where value_dim is 2"),
        (RAW_2, pa.array(["1\x1d2", "3\x1d"]), 1, "'' is not a number"),
        (RAW_2, pa.array([[1.0, 2.0], [3.0, None]]), 1, "null or empty text in a list where every item has its place"),
        (WEIGHTED, pa.array(["1:0.5", "2:x"]), 1, "weight 'x' is not a number"),
        (SEQUENCE, pa.array(["1;2", "3;4\x1d11;5"]), 1, "id 11 is out of range"),
        (SEQUENCE, pa.array([["1"], [], ["2", "a"]]), 2, "'a' is not an integer"),
        (SEQUENCE, pa.array([[[1], [2]], None, [[3, 10]]]), 2, "id 10 is out of range"),
        (SEQUENCE_RAW, pa.array(["1;2", "", "3;b"]), 2, "'b' is not a number"),
    ],
)
def test_bad_values_are_located(make_features, config, array, row, problem):
    message = data_error(make_features("FG_NORMAL", config), array)
    assert message.startswith(f"feature 'f', column 'c', row {row} of the batch: ")
    assert problem in message


@pytest.mark.parametrize(
    ("config", "array", "row", "problem"),
    [
        (NUM_BUCKETS, pa.array([1, 10]), 1, "id 10 is out of range; allowed are 0 to 9 (rows of its embedding table)"),
        (NUM_BUCKETS, pa.array(["1", "1\x03x"]), 1, "'x' is not an integer"),
        (RAW, pa.array([1.0, None]), 1, "the value is missing and there is no default; set fg_encoded_default_value"),
        (RAW, pa.array(["1", ""]), 1, "the value is missing and there is no default; set fg_encoded_default_value"),
        (RAW_2, pa.array(["1\x032", "1\x032\x033"]), 1, "3 numbers where value_dim is 2"),
        (SEQUENCE, pa.array(["1;2", "3;10"]), 1, "id 10 is out of range"),
        (SEQUENCE_RAW, pa.array(["1;2", "1;;2"]), 1, "the value is missing and there is no default"),
    ],
)
def test_bad_encoded_values_are_located(make_features, config, array, row, problem):
    message = data_error(make_features("FG_NONE", config), array, column="f")
    assert message.startswith(f"feature 'f', column 'f', row {row} of the batch: ")
    assert problem in message


@pytest.mark.parametrize(
    ("origin", "place"),
    [
        (b"train/part-0.parquet row 1000", "row 2 (train/part-0.parquet row 1002)"),
        (b"stdin", "row 2 of the batch from stdin"),
        (b"", "row 2 of the batch"),
    ],
)
def test_row_is_counted_from_the_origin_of_the_batch(make_features, origin, place):
    message = data_error(make_features("FG_NORMAL", NUM_BUCKETS), pa.array([1, 2, 99]), {b"tzx.origin": origin})
    assert f"{place}: id 99" in message


@pytest.mark.parametrize(
    ("config", "array", "said"),
    [
        (NUM_BUCKETS, pa.array([{"a": 1}]), "struct<a: int64>; readable are text, numbers, and lists or maps of them"),
        (NUM_BUCKETS, pa.array([[[1]]]), "list<item: int64>"),
        (WEIGHTED, pa.array([1, 2]), "int64, and a weighted feature needs text `id:weight` or a map"),
        (WEIGHTED, pa.array([[1]]), "list<item: int64>, and a weighted feature needs"),
        (WEIGHTED, pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())), "weights must be numbers"),
        (SEQUENCE, pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64())), "a sequence is text or a list"),
    ],
)
def test_column_of_wrong_type(make_features, config, array, said):
    message = data_error(make_features("FG_NORMAL", config), array)
    assert message.startswith("feature 'f', column 'c': its type is ")
    assert said in message


def test_what_arrow_cannot_convert_is_no_crash(make_features):
    column = pa.array([[(b"\xff", 1)]], pa.map_(pa.binary(), pa.int64()))
    message = data_error(make_features("FG_NORMAL", NUM_BUCKETS), column)
    assert message.startswith("feature 'f', column 'c' cannot be read: ")


def test_missing_column_names_the_nearest(make_features):
    features = make_features("FG_NORMAL", NUM_BUCKETS.replace("user:c", "user:item_id"))
    assert "there is no such column; did you mean 'item_ids'?" in data_error(features, pa.array([1]), column="item_ids")
    assert "there are other" in data_error(features, pa.array([1]), column="other")


def id_config(rest: str, name: str = "f", expression: str = "user:c") -> str:
    return f'id_feature {{ feature_name: "{name}" expression: "{expression}" embedding_dim: 4 {rest} }}'


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (id_config(""), "nothing turns its values into ids; set one of"),
        (id_config("num_buckets: 3 hash_bucket_size: 3"), "hash_bucket_size and num_buckets are given together"),
        (id_config("num_buckets: 0"), "num_buckets is 0; it must be at least 1"),
        (id_config("num_buckets: 3", expression="c"), "input 'c' must be written side:name, such as user:c"),
        (id_config("num_buckets: 3", expression="usr:c"), "the side must be one of"),
        (id_config("num_buckets: 3", expression="usr:c"), "did you mean 'user'?"),
        (id_config("num_buckets: 3", expression="feature:c"), "needs fg_mode: FG_DAG"),
        (id_config('num_buckets: 3 default_value: "x"'), "the default 'x' cannot be used"),
        (id_config('num_buckets: 3 default_value: "3"'), "id 3 is out of range"),
        (id_config('num_buckets: 3 separator: ""'), "separator is empty"),
        (id_config('num_buckets: 3 pooling: "max"'), "pooling is 'max'; allowed are sum, mean"),
        (id_config('num_buckets: 3 data_type: "INT8"'), "data_type is 'INT8'; allowed are FP32, FP16"),
        (id_config('num_buckets: 3 fg_value_type: "date"'), "fg_value_type is 'date'; allowed are string,"),
        (id_config(f"{VOCAB} default_bucketize_value: 2"), "default_bucketize_value is 2; with 2 words"),
        (id_config('vocab_file: "no/such/file" default_bucketize_value: 0'), "cannot read 'no/such/file'"),
        (id_config('vocab_file: "x"'), "vocab_file needs default_bucketize_value"),
        ('raw_feature { feature_name: "f" expression: "user:c" boundaries: 1 boundaries: 1 }', "boundaries must rise"),
        ('raw_feature { feature_name: "f" expression: "user:c" value_dim: 0 }', "value_dim is 0"),
        ('raw_feature { feature_name: "f" expression: "user:c" normalizer: "log" }', "normalizer method '' is unknown"),
        (
            'raw_feature { feature_name: "f" expression: "user:c" value_dim: 3 default_value: "1\\0352" }',
            "has 2 numbers where value_dim is 3",
        ),
    ],
)
def test_bad_configs(make_features, config, problem):
    with pytest.raises(ConfigError) as caught:
        make_features("FG_NORMAL", config)
    assert str(caught.value).startswith("feature 'f': ")
    assert problem in str(caught.value)


def test_all_bad_features_are_reported_at_once(make_features):
    with pytest.raises(ConfigError) as caught:
        make_features(
            "FG_NORMAL", id_config("", "a"), id_config("num_buckets: 0", "b"), id_config("num_buckets: 1", "a")
        )
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["feature 'a'", "feature 'b'", "feature 'a' is given twice"]


def test_a_circle_is_printed(make_features):
    a = id_config("hash_bucket_size: 5", "a", "feature:b")
    b = id_config("hash_bucket_size: 5", "b", "feature:c")
    c = id_config("hash_bucket_size: 5", "c", "feature:a")
    with pytest.raises(ConfigError, match="in a circle: a -> b -> c -> a"):
        make_features("FG_DAG", a, b, c)


def test_unknown_feature_as_input(make_features):
    with pytest.raises(ConfigError, match="input feature:nix names no feature"):
        make_features("FG_DAG", id_config("hash_bucket_size: 5", "a", "feature:nix"))
