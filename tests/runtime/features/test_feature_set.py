"""Names, tables, inputs, order and modes of whole sets of features."""

import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.features import DenseData, FeatureSet, FeatureSettings, SparseData
from tzx.runtime.features.settings import FeatureSettings as Settings

GROUP = """sequence_feature { sequence_name: "clicks" sequence_length: 3 sequence_delim: "|"
  features { id_feature { feature_name: "item" expression: "item:item_id" embedding_dim: 8 num_buckets: 100
                          embedding_name: "item_emb" pooling: "mean" data_type: "FP16" trainable: false
                          init_fn: "nn.init.zeros_" } }
  features { raw_feature { feature_name: "price" expression: "user:price" value_dim: 2 } } }"""
USER = 'id_feature { feature_name: "user" expression: "user:uid" embedding_dim: 4 hash_bucket_size: 50 }'
AGE = """raw_feature { feature_name: "age" expression: "user:years" embedding_dim: 6
                       autodis { num_channels: 3 } }"""
DAY = 'id_feature { feature_name: "day" expression: "context:day" embedding_dim: 4 num_buckets: 7 weighted: true }'


def test_facts_of_features(make_features):
    features = make_features("FG_NORMAL", USER, GROUP, AGE, DAY)
    assert [f.name for f in features.features] == ["user", "clicks__item", "clicks__price", "age", "day"]
    assert features.input_columns == ("uid", "clicks__item_id", "clicks__price", "years", "day")
    item = features.by_name["clicks__item"]
    assert (item.kind, item.sequence_name, item.sequence_length) == ("id_feature", "clicks", 3)
    assert (item.is_sequence, item.is_sparse, item.is_weighted, item.value_dim) == (True, True, False, 1)
    assert (item.num_embeddings, item.embedding_name, item.embedding_dim) == (100, "item_emb", 8)
    assert (item.pooling, item.data_type, item.trainable, item.init_fn) == ("mean", "FP16", False, "nn.init.zeros_")
    assert (item.sides, item.is_user, item.output_dim) == (("item",), True, 8)
    price = features.by_name["clicks__price"]
    assert (price.is_sparse, price.value_dim, price.output_dim, price.embedding_name) == (False, 2, 2, "")
    user, age, day = (features.by_name[name] for name in ("user", "age", "day"))
    assert (user.embedding_name, user.value_dim, user.is_user) == ("user_emb", 0, True)
    assert (age.is_sparse, age.num_embeddings, age.embedding_dim, age.output_dim) == (False, 0, 6, 6)
    assert (day.is_weighted, day.is_user, day.sequence_length) == (True, False, None)


def test_encoded_mode_reads_columns_named_like_features(make_features):
    features = make_features("FG_NONE", USER, GROUP)
    assert features.input_columns == ("user", "clicks__item", "clicks__price")
    assert make_features("FG_BUCKETIZE", USER, GROUP).input_columns == features.input_columns


def test_output_is_in_config_order_whatever_the_order_of_making(make_features, make_batch):
    late = 'id_feature { feature_name: "a" expression: "feature:b" embedding_dim: 4 hash_bucket_size: 10 }'
    early = 'id_feature { feature_name: "b" expression: "user:x" embedding_dim: 4 num_buckets: 10 }'
    features = make_features("FG_DAG", late, early)
    made = features.generate(make_batch({"x": {"type": "int64", "values": [3, None, 5]}}))
    assert list(made) == ["a", "b"]
    assert made["b"].values.tolist() == [3, 5]
    assert made["a"].values.tolist() == [3, 9]  # hashes of "3" and "5"
    assert made["a"].lengths.tolist() == [1, 0, 1]


def test_stub_is_made_for_others_only(make_features, make_batch):
    stub = """sequence_feature { sequence_name: "s" sequence_length: 9 features {
        id_feature { feature_name: "stub" expression: "item:c" embedding_dim: 4 stub_type: true } } }"""
    reader = 'id_feature { feature_name: "f" expression: "feature:s__stub" embedding_dim: 4 num_buckets: 50 }'
    features = make_features("FG_DAG", stub, reader)
    assert [f.name for f in features.features] == ["f"]
    assert features.input_columns == ("s__c",)
    assert features.by_name["f"].is_user
    made = features.generate(make_batch({"s__c": {"type": "string", "values": ["10;11;12", "13", ""]}}))
    assert made["f"].values.tolist() == [10, 11, 12, 13, 0]
    assert made["f"].lengths.tolist() == [3, 1, 1]
    assert make_features("FG_NONE", stub, USER).input_columns == ("user",)


def test_plain_feature_read_by_a_sequence_gives_one_element_per_value(make_features, make_batch):
    tags = (
        'id_feature { feature_name: "tags" expression: "user:t" embedding_dim: 4 hash_bucket_size: 9 stub_type: true }'
    )
    sequence = 'sequence_id_feature { feature_name: "s" expression: "feature:tags" embedding_dim: 4 num_buckets: 9 }'
    made = make_features("FG_DAG", tags, sequence).generate(
        make_batch({"t": {"type": "string", "values": ["a\x1db", "c"]}})
    )
    assert made["s"].seq_lengths.tolist() == [2, 1]
    assert made["s"].key_lengths.tolist() == [1, 1, 1]


def test_map_given_by_another_feature(make_features, make_batch):
    stub = 'id_feature { feature_name: "m" expression: "user:m" embedding_dim: 4 stub_type: true }'
    lookup = 'lookup_feature { feature_name: "f" map: "feature:m" key: "item:k" }'
    columns = {"m": ["a:1\x1db:2", "a:3"], "k": ["b", "a"]}
    batch = make_batch({name: {"type": "string", "values": values} for name, values in columns.items()})
    assert make_features("FG_DAG", stub, lookup).generate(batch)["f"].values.tolist() == [[2], [3]]


def test_constant_input(make_features, make_batch):
    const = 'id_feature { feature_name: "f" expression: "const:7" embedding_dim: 4 num_buckets: 9 }'
    batch = make_batch({"x": {"type": "int64", "values": [1, 2, 3]}})
    assert make_features("FG_DAG", const).generate(batch)["f"].values.tolist() == [7, 7, 7]


def test_user_features_through_others(make_features):
    base = 'id_feature { feature_name: "b" expression: "item:x" embedding_dim: 4 num_buckets: 10 }'
    on_item = 'id_feature { feature_name: "i" expression: "feature:b" embedding_dim: 4 num_buckets: 10 }'
    on_user = 'id_feature { feature_name: "u" expression: "feature:user" embedding_dim: 4 num_buckets: 50 }'
    features = make_features("FG_DAG", USER, base, on_item, on_user)
    assert {f.name: f.is_user for f in features.features} == {"user": True, "b": False, "i": False, "u": True}


MASKED = """id_feature { feature_name: "f" expression: "user:f" embedding_dim: 4 num_buckets: 9 use_mask: true
                         default_value: "5" }"""


@pytest.mark.parametrize("mode", ["FG_NONE", "FG_NORMAL"])
def test_sample_mask_nulls_rows_in_training_only(make_features, make_batch, mode):
    batch = make_batch(
        {
            "f": {"type": "int64", "values": [1, 2, 3]},
            "g": {"type": "int64", "values": [1, 2, 3]},
            "__SAMPLE_MASK__": {"type": "bool", "values": [True, False, True]},
        }
    )
    unmasked = 'id_feature { feature_name: "g" expression: "user:g" embedding_dim: 4 num_buckets: 9 }'
    features = make_features(mode, MASKED, unmasked)
    trained = features.generate(batch, is_training=True)
    assert trained["f"].values.tolist() == [5, 2, 5]
    assert trained["g"].values.tolist() == [1, 2, 3]
    assert features.generate(batch)["f"].values.tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["string", "list<string>", "list<int64>"])
def test_sample_mask_works_on_every_type(make_features, make_batch, kind):
    values = {"string": ["1", "2"], "list<string>": [["1"], ["2"]], "list<int64>": [[1], [2]]}[kind]
    mask = {"type": "bool", "values": [False, True]}
    made = make_features("FG_NORMAL", MASKED).generate(
        make_batch({"f": {"type": kind, "values": values}, "__SAMPLE_MASK__": mask}), is_training=True
    )
    assert made["f"].values.tolist() == [1, 5]


def test_float_column_is_not_copied(make_features):
    array = pa.array(np.arange(5, dtype=np.float32))
    made = make_features("FG_NONE", 'raw_feature { feature_name: "f" expression: "user:f" }').generate(
        pa.record_batch({"f": array})
    )
    assert isinstance(made["f"], DenseData)
    assert np.shares_memory(made["f"].values, array.to_numpy())


def test_int_column_is_not_copied(make_features):
    array = pa.array([1, 2, 3])[1:]
    for mode, column in (("FG_NONE", "user"), ("FG_NORMAL", "uid")):
        features = make_features(mode, USER.replace("hash_bucket_size", "num_buckets"))
        made = features.generate(pa.record_batch({column: array}))
        assert isinstance(made["user"], SparseData)
        assert np.shares_memory(made["user"].values, array.to_numpy())


def test_empty_batch(make_features):
    schema = {"uid": pa.string(), "clicks__item_id": pa.string(), "clicks__price": pa.string(), "years": pa.float32()}
    batch = pa.record_batch({name: pa.array([], kind) for name, kind in schema.items()})
    made = make_features("FG_NORMAL", USER, GROUP, AGE).generate(batch)
    assert made["user"].values.tolist() == made["user"].lengths.tolist() == []
    assert made["clicks__item"].seq_lengths.tolist() == []
    assert made["clicks__price"].values.shape == (0, 2)
    assert made["age"].values.shape == (0, 1)


def test_all_null_column_of_null_type(make_features):
    made = make_features("FG_NORMAL", USER, AGE).generate(pa.record_batch({"uid": pa.nulls(2), "years": pa.nulls(2)}))
    assert made["user"].lengths.tolist() == [0, 0]
    assert made["age"].values.tolist() == [[0.0], [0.0]]


def test_pickled_set_generates_the_same(make_features, make_batch):
    formula = """raw_feature { feature_name: "r" expression: "user:x"
                               normalizer: "method=expression,expr=x > 1 ? log(x) : 0" }"""
    words = 'id_feature { feature_name: "w" expression: "user:s" embedding_dim: 4 vocab_list: "a" vocab_list: "b" }'
    features = make_features("FG_DAG", formula, words)
    batch = make_batch({"x": {"type": "double", "values": [1, 2]}, "s": {"type": "string", "values": ["a", "z"]}})
    wanted = features.generate(batch)
    again = pickle.loads(pickle.dumps(features)).generate(batch)
    assert again["w"].values.tolist() == wanted["w"].values.tolist() == [2, 1]
    assert again["r"].values.tolist() == wanted["r"].values.tolist()


def test_environment_is_read_at_one_place():
    assert Settings.from_env({}) == FeatureSettings(farm_hash=False, group_join="__")
    assert Settings.from_env({"USE_FARM_HASH_TO_BUCKETIZE": "true"}).farm_hash
    assert Settings.from_env({"USE_RTP": "1"}).group_join == "_"
    assert not Settings.from_env({"USE_FARM_HASH_TO_BUCKETIZE": "false"}).farm_hash


def test_rtp_names(make_features, monkeypatch):
    monkeypatch.setenv("USE_RTP", "1")
    features = make_features("FG_NORMAL", GROUP)
    assert [f.name for f in features.features] == ["clicks_item", "clicks_price"]
    assert features.input_columns == ("clicks_item_id", "clicks_price")


def test_settings_can_be_given():
    assert FeatureSet.from_config([], _data_config(), FeatureSettings(farm_hash=True)).settings.farm_hash


def _data_config():
    from tzx.runtime.protos.data_pb2 import DataConfig

    return DataConfig()


CHECK = """
import sys
from tzx.runtime.features import FeatureSet
from tzx.runtime.config import parse_text
import numpy as np
import pyarrow as pa
text = '''train_input_path: "t" eval_input_path: "e" model_dir: "m" data_config { dataset_type: ParquetDataset }
feature_configs { id_feature { feature_name: "i" expression: "user:i" embedding_dim: 4 num_buckets: 9
                               fg_encoded_default_value: "0" } }
feature_configs { raw_feature { feature_name: "r" expression: "user:r" fg_encoded_default_value: "0" } }
feature_configs { sequence_id_feature { feature_name: "s" expression: "user:s" embedding_dim: 4 num_buckets: 9 } }'''
config = parse_text(text)
features = FeatureSet.from_config(config.feature_configs, config.data_config)
# pa.array would import pandas by itself.
first_only, numbers = pa.py_buffer(b"\\1"), pa.py_buffer(np.array([1, 2]))
ints = pa.Array.from_buffers(pa.int64(), 2, [first_only, numbers])
floats = pa.Array.from_buffers(pa.float32(), 2, [first_only, pa.py_buffer(np.float32([0.5, 0]))])
offsets = pa.py_buffer(np.int32([0, 2, 2]))
lists = pa.Array.from_buffers(pa.list_(pa.int64()), 2, [first_only, offsets], children=[ints])
batch = pa.RecordBatch.from_arrays([ints, floats, lists], ["i", "r", "s"])
features.generate(batch)
print(sorted({"torch", "torchrec", "fbgemm_gpu", "numba", "pandas"} & sys.modules.keys()))
"""


def test_number_columns_need_neither_torch_nor_numba():
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_threads_generate_the_same(make_features):
    from concurrent.futures import ThreadPoolExecutor

    features = make_features("FG_NORMAL", USER, GROUP)
    batches = [
        pa.record_batch(
            {
                "uid": pa.array([f"u{seed}\x1dv{i}" for i in range(200)]),
                "clicks__item_id": pa.array([f"{i % 90}|{seed}" for i in range(200)]),
                "clicks__price": pa.array([f"{i}.5\x1d2" for i in range(200)]),
            }
        )
        for seed in range(8)
    ]
    alone = [features.generate(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(features.generate, batches))
    for one, other in zip(alone, together, strict=True):
        assert all((one[name].values == other[name].values).all() for name in one)
