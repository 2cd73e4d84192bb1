"""Features made together equal the same features made one by one."""

import pickle
import threading
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import DataError
from tzx.runtime.features.alike import MOST_BYTES, alike, portions
from tzx.runtime.features.source import Source

TOLERANT = "bad_value_policy: BAD_VALUE_DEFAULT"
COUNT = 5
HASHED = (
    'feature_name: "{name}" expression: "item:{name}" hash_bucket_size: {size} embedding_dim: 4 default_value: "{d}"'
)
COUNTED = 'feature_name: "{name}" expression: "item:{name}" num_buckets: {size} embedding_dim: 4 default_value: "{d}"'
NUMBER = 'feature_name: "{name}" expression: "item:{name}" default_value: "{d}.5"'
KINDS = {
    "hash": f"id_feature {{{{ {HASHED} }}}}",
    "first words": f"id_feature {{{{ {HASHED} value_dim: 2 }}}}",
    "weighted": f"id_feature {{{{ {HASHED} weighted: true }}}}",
    "ids in text": f"id_feature {{{{ {COUNTED} }}}}",
    "first ids in text": f"id_feature {{{{ {COUNTED} value_dim: 1 }}}}",
    "ids": f"id_feature {{{{ {COUNTED} }}}}",
    "raw": f'raw_feature {{{{ {NUMBER} normalizer: "method=log10,threshold=1,default=0" }}}}',
    "raw text": f'raw_feature {{{{ {NUMBER} normalizer: "method=zscore,mean=1,standard_deviation=3" }}}}',
    "buckets": f"raw_feature {{{{ {NUMBER} boundaries: {{size}} boundaries: 90 embedding_dim: 4 }}}}",
    "hash sequence": f"sequence_id_feature {{{{ {HASHED} sequence_length: 3 }}}}",
    "id sequence": f"sequence_id_feature {{{{ {COUNTED} value_dim: 0 }}}}",
    "cut id sequence": f"sequence_id_feature {{{{ {COUNTED} sequence_length: 2 }}}}",
    "raw sequence": f"sequence_raw_feature {{{{ {NUMBER} }}}}",
}
words = st.sampled_from(["7", "12", "3", "", "1;2;;4;5", "2;8"])
CELLS = {
    "hash": st.none() | st.sampled_from(["a", "b\x1dc", "", "\x1d", "long word"]),
    "first words": st.none() | st.sampled_from(["a", "b\x1dc\x1d\x1dd", "\x1de\x1df\x1dg\x1d", "", "\x1d"]),
    "weighted": st.none() | st.sampled_from(["a:1", "b:2\x1dc", "", "x:y:0.5"]),
    "ids in text": st.none() | st.sampled_from(["7", "12", "", "\x1d", "3\x1d11", "\x1d+5\x1d 6\x1d", "0012", "4.0"]),
    "first ids in text": st.none() | st.sampled_from(["7", "3\x1dx", "\x1d11\x1d99", "", "000000000000012"]),
    "ids": st.none() | st.integers(0, 9),
    "raw": st.none() | st.floats(0, 100, width=32),
    "raw text": st.none() | st.sampled_from(["1", "-2.75", "0.125", "", "12345678901234", "-0"] * 3 + ["1e3", " 4 "]),
    "buckets": st.none() | st.sampled_from(["1", "95.5", " 40 ", ""]),
    "hash sequence": st.none() | words,
    "id sequence": st.none() | st.lists(st.integers(0, 9), max_size=4),
    "cut id sequence": st.none() | st.lists(st.integers(0, 9), max_size=4),
    "raw sequence": st.none() | words,
}
LISTS = pa.list_(pa.int64())
TYPES = {"ids": pa.int64(), "raw": pa.float32(), "id sequence": LISTS, "cut id sequence": LISTS}
LAYOUTS = {pa.string(): ["plain", "sliced", "large"], LISTS: ["plain", "sliced", "large", "garbage"]}


@pytest.fixture(scope="module")
def made_before():
    """Feature sets by kind, because making them takes longer than using them."""
    return {}


def config_of(kind, at):
    return KINDS[kind].format(name=f"f{at}", size=20 + at, d=at)


def assert_same(made, wanted, name):
    assert type(made) is type(wanted)
    for field in fields(wanted):
        mine, theirs = getattr(made, field.name), getattr(wanted, field.name)
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{name} {field.name}")


def is_together(features, batch):
    (level,) = features._levels
    return [len(portion.nodes) for portion in portions(level.groups, Source(batch, False))] == [COUNT]


def one_by_one(features, batch):
    """All features, each made by its own stages."""
    source = Source(batch, False)
    return {node.feature.name: node.output.pack(node.run(source)) for node in features._nodes}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), rows=st.integers(1, 6))
def test_equal_those_made_one_by_one(kind, make_features, made_before, other_layout, data, rows):
    configs = [config_of(kind, at) for at in range(COUNT)]
    features = made_before.setdefault(kind, None) or make_features("FG_NORMAL", *configs)
    made_before[kind] = features
    cells = st.lists(CELLS[kind], min_size=COUNT * rows, max_size=COUNT * rows)
    drawn, arrow_type = data.draw(cells), TYPES.get(kind, pa.string())
    layout = data.draw(st.sampled_from(LAYOUTS.get(arrow_type, ["plain"])))
    arrays = [pa.array(drawn[at * rows : (at + 1) * rows], arrow_type) for at in range(COUNT)]
    batch = pa.record_batch({f"f{at}": other_layout(array, layout) for at, array in enumerate(arrays)})
    # Other layouts may leave some lists in another type.
    assert is_together(features, batch) or layout == "garbage"
    made = features.generate(batch)
    for name, wanted in one_by_one(features, batch).items():
        assert_same(made[name], wanted, name)


def test_no_rows(make_features):
    features = make_features("FG_NORMAL", *[config_of("hash", at) for at in range(COUNT)])
    made = features.generate(pa.record_batch({f"f{at}": pa.array([], pa.string()) for at in range(COUNT)}))
    assert all(len(data.values) == 0 for data in made.values())


def test_the_first_bad_feature_is_named(make_features):
    configs = [config_of("ids", 0), *[config_of("buckets", at) for at in range(1, COUNT)], config_of("ids", 9)]
    features = make_features("FG_NORMAL", *configs)
    columns = {f"f{at}": ["1", "x" if at > 2 else "2"] for at in range(COUNT)} | {"f0": [1, 2], "f9": [1, 99]}
    with pytest.raises(DataError, match="feature 'f3', column 'f3', row 1 of the batch: 'x' is not a number"):
        features.generate(pa.record_batch(columns))
    del columns["f2"]
    with pytest.raises(DataError, match="feature 'f2', column 'f2': there is no such column"):
        features.generate(pa.record_batch(columns))


def test_bad_values_are_counted_by_feature(make_features):
    features = make_features("FG_NORMAL", *[config_of("buckets", at) for at in range(COUNT)], data=TOLERANT)
    batch = pa.record_batch(
        {f"f{at}": ["1", "x" if at in (1, 3) else "95", "y" if at == 3 else "2"] for at in range(COUNT)}
    )
    made = features.generate(batch)
    assert features.bad_values == {"f1": 1, "f3": 2}
    assert made["f3"].values.tolist() == [0, 0, 0]
    assert made["f4"].values.tolist() == [0, 2, 0]


def test_columns_of_several_types_and_large_ones(make_features):
    features = make_features("FG_NORMAL", *[config_of("hash", at) for at in range(COUNT)])
    (level,) = features._levels
    batch = pa.record_batch({"f0": ["a"], "f1": [5], "f2": ["b"], "f3": [6], "f4": ["x" * MOST_BYTES]})
    found = sorted(len(portion.nodes) for portion in portions(level.groups, Source(batch, False)))
    assert found == [2, 3]
    made = features.generate(batch)
    for name, wanted in one_by_one(features, batch).items():
        assert_same(made[name], wanted, name)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [("ids", 24), ("ids", -1), ("ids in text", "24"), ("ids in text", "-1"), ("cut id sequence", [1, 24])],
)
def test_ids_beyond_the_table_are_refused(kind, bad, make_features):
    configs = [config_of(kind, at) for at in range(COUNT)]
    good = [0, 7] if kind == "cut id sequence" else type(bad)(19)
    columns = {f"f{at}": pa.array([None, bad if at == 4 else good], TYPES.get(kind)) for at in range(COUNT)}
    with pytest.raises(DataError, match=r"feature 'f4', column 'f4', row 1 of the batch: id (24|-1) is out of range"):
        make_features("FG_NORMAL", *configs).generate(pa.record_batch(columns))
    made = make_features("FG_NORMAL", *configs, data=TOLERANT).generate(pa.record_batch(columns))
    assert made["f4"].values.tolist() == ([4, 1, 4] if kind == "cut id sequence" else [4, 4])


def test_the_largest_ids_are_not_refused(make_features):
    features = make_features("FG_NORMAL", *[config_of("ids", at) for at in range(COUNT)])
    made = features.generate(pa.record_batch({f"f{at}": pa.array([19 + at, None]) for at in range(COUNT)}))
    assert [made[f"f{at}"].values.tolist() for at in range(COUNT)] == [[19 + at, at] for at in range(COUNT)]


def test_columns_without_any_value(make_features):
    features = make_features("FG_NORMAL", *[config_of("ids", at).replace(f'"{at}"', '""') for at in range(COUNT)])
    made = features.generate(pa.record_batch({f"f{at}": pa.array([None, at or None]) for at in range(COUNT)}))
    assert [made[f"f{at}"].values.tolist() for at in range(COUNT)] == [[], [1], [2], [3], [4]]


def test_what_differs_is_made_apart(make_features):
    configs = [config_of("hash", 0), config_of("hash", 1).replace("default_value", 'separator: "," default_value')]
    configs += [config_of("hash", 2).replace('default_value: "2"', 'default_value: ""')]
    configs += [config_of("raw", 3), config_of("raw", 4).replace("threshold=1", "threshold=2")]
    configs += [config_of("hash", 5).replace("item:f5", "const:f5")]
    configs += [config_of("hash", 6).replace("default_value", "use_mask: true default_value")]
    (level,) = make_features("FG_DAG", *configs)._levels
    assert [len(group.nodes) for group in alike(level.nodes)] == [1] * 7


def test_a_column_that_several_read_is_read_once(make_features):
    configs = [config_of("hash", at).replace(f"item:f{at}", "item:c") for at in range(3)]
    (level,) = make_features("FG_NORMAL", *configs)._levels
    assert [len(group.nodes) for group in alike(level.nodes)] == [1] * 3


def test_several_threads_may_use_one_feature_set(make_features):
    configs = [config_of("hash", at) for at in range(COUNT)]
    features = pickle.loads(pickle.dumps(make_features("FG_NORMAL", *configs)))
    batches = [pa.record_batch({f"f{at}": [f"{n} {at}", None] * 50 for at in range(COUNT)}) for n in range(8)]
    wanted = [features.generate(batch) for batch in batches]
    made: dict[int, object] = {}

    def work(number):
        for _ in range(20):
            made[number] = features.generate(batches[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(wanted):
        for name, data in expected.items():
            assert_same(made[number][name], data, name)
