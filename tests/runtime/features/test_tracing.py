import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.errors import DataError
from tzx.runtime.features.tracing import out_of_range, outer_buckets, unknown

CONFIGS = [
    'id_feature { feature_name: "word" expression: "user:word" vocab_list: "a" vocab_list: "b" default_value: "b" }',
    'id_feature { feature_name: "id" expression: "user:id" num_buckets: 10 value_dim: 1 }',
    'raw_feature { feature_name: "x" expression: "item:x" boundaries: [0, 1] }',
    'raw_feature { feature_name: "hidden" expression: "item:x" stub_type: true }',
    'expr_feature { feature_name: "double" expression: "hidden * 2" variables: "feature:hidden" default_value: "-1" }',
    'sequence_id_feature { feature_name: "seq" expression: "user:seq" sequence_length: 2 hash_bucket_size: 7 }',
]
BATCH = pa.record_batch(
    {
        "word": ["a\x1dc", "", None, "b"],
        "id": pa.array([[3, 4], [], None, [5]], pa.list_(pa.int64())),
        "x": [-1.0, 0.5, None, 1.0],
        "seq": ["p;q;r", "", None, "p;;"],
    }
)


@pytest.fixture(name="traced")
def _traced(make_features):
    features = make_features("FG_DAG", *CONFIGS)
    return features, {traced.feature.name: traced for traced in features.trace(BATCH)}


def test_results_are_what_generate_makes(traced):
    features, stages = traced
    for name, data in features.generate(BATCH).items():
        made = stages[name].result
        assert np.array_equal(np.ravel(made.values), np.ravel(data.values)), name
        if hasattr(data, "lengths"):
            assert made.lengths.tolist() == data.lengths.tolist()
        if hasattr(data, "seq_lengths"):
            assert made.seq_lengths.tolist() == data.seq_lengths.tolist()
            assert made.lengths.tolist() == data.key_lengths.tolist()


def test_stages_of_each_feature(traced):
    _, stages = traced
    word = stages["word"]
    assert word.values.lengths.tolist() == [2, 0, 0, 1]
    assert word.has_default and word.default_text == "b"
    assert unknown(word.bucketizer, word.values.values).tolist() == [False, True, False]
    assert stages["id"].values_cut.tolist() == [1, 0, 0, 0]
    assert not stages["id"].has_default
    below, above = outer_buckets(stages["x"].bucketizer, stages["x"].values)
    assert (below.tolist(), above.tolist()) == ([True, False, False], [False, False, True])
    assert stages["hidden"].stub and not stages["double"].stub
    assert stages["double"].read[0].values.tolist() == [-1.0, 0.5, 0.0, 1.0]


def test_elements_before_the_cut_count_what_is_in_the_data(traced):
    _, stages = traced
    assert stages["seq"].elements_before_cut.tolist() == [3, 0, 0, 3]
    assert stages["seq"].values.seq_lengths.tolist() == [2, 1, 1, 2]
    assert stages["word"].elements_before_cut is None


def test_ids_beyond_the_table_are_marked_rather_than_refused(make_features):
    config = 'id_feature { feature_name: "id" expression: "user:id" num_buckets: 10 }'
    batch = pa.record_batch({"id": [3, -1, 10, 9]})
    (traced,) = make_features("FG_DAG", config).trace(batch)
    assert out_of_range(traced.bucketizer, traced.values).tolist() == [False, True, True, False]
    with pytest.raises(DataError, match="feature 'id', column 'id', row 1"):
        traced.result  # noqa: B018


def test_a_feature_that_fails_leaves_the_others(make_features):
    batch = pa.record_batch({"x": ["1", "no"], "word": ["a", "b"], "id": [[1], [2]], "seq": ["", ""]})
    features = make_features("FG_DAG", *CONFIGS)
    failed = {}
    for traced in features.trace(batch):
        try:
            traced.result  # noqa: B018
        except DataError as error:
            failed[traced.feature.name] = str(error)
    assert set(failed) == {"x", "hidden", "double"}
    assert "'no' is not a number" in failed["x"]
    assert "could not be made" in failed["double"]
