"""Raw rows with everything that could go wrong on the way through a file, and a config that uses them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CONFIG = """
train_input_path: "{root}/train/*.parquet"
eval_input_path: "{root}/eval.parquet"
model_dir: "{root}/run"
train_config {{
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.1 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.01 }} constant_learning_rate {{}} }}
  num_steps: 8
}}
data_config {{
  dataset_type: ParquetDataset batch_size: 50 fg_mode: FG_DAG label_fields: "label" sample_weight_fields: "w"
  num_workers: 0 shuffle: true shuffle_buffer_size: 2 sample_mask_prob: 0.2
}}
feature_configs {{ id_feature {{
  feature_name: "user" expression: "user:user" num_buckets: 50 embedding_dim: 4 fg_encoded_default_value: "3" }} }}
feature_configs {{ id_feature {{ feature_name: "tags" expression: "item:tags" hash_bucket_size: 64 embedding_dim: 4
  use_mask: true }} }}
feature_configs {{ id_feature {{ feature_name: "interests" expression: "user:interests" hash_bucket_size: 64
  weighted: true embedding_dim: 4 use_mask: true }} }}
feature_configs {{ id_feature {{ feature_name: "liked" expression: "user:liked" vocab_list: ["a", "b", "c:d"]
  weighted: true embedding_dim: 4 use_mask: true default_value: "a" }} }}
feature_configs {{ raw_feature {{ feature_name: "price" expression: "item:price" use_mask: true
  normalizer: "method=log10" }} }}
feature_configs {{ raw_feature {{ feature_name: "vector" expression: "item:vector" value_dim: 3 }} }}
feature_configs {{ raw_feature {{ feature_name: "bucketed" expression: "item:price" boundaries: [0, 1, 2]
  embedding_dim: 4 }} }}
feature_configs {{ combo_feature {{ feature_name: "cross" expression: ["user:user", "item:tags"]
  hash_bucket_size: 100 embedding_dim: 4 use_mask: true }} }}
feature_configs {{ expr_feature {{ feature_name: "odds" expression: "price / (1 + n)" variables: "item:price"
  variables: "feature:n" }} }}
feature_configs {{ lookup_feature {{ feature_name: "n" map: "user:counts" key: "item:tags" combiner: "max"
  stub_type: true default_value: "7" }} }}
feature_configs {{ sequence_feature {{ sequence_name: "click" sequence_length: 5 sequence_delim: ";"
  features {{ id_feature {{ feature_name: "item" expression: "user:item" hash_bucket_size: 64 embedding_dim: 4
    value_dim: 0 default_value: "none" use_mask: true }} }}
  features {{ raw_feature {{ feature_name: "age" expression: "user:age" }} }}
}} }}
feature_configs {{ sequence_raw_feature {{ feature_name: "track" expression: "user:track" value_dim: 2
  sequence_length: 3 default_value: "0.5" }} }}
model_config {{
  feature_groups {{ group_name: "deep" group_type: DEEP
    feature_names: ["user", "tags", "interests", "liked", "price", "vector", "bucketed", "cross", "odds"]
    sequence_groups {{ group_name: "clicks" feature_names: ["tags", "click__item", "click__age"] }}
    sequence_encoders {{ pooling_encoder {{ input: "clicks" }} }}
    sequence_groups {{ group_name: "tracks" feature_names: ["track"] }}
    sequence_encoders {{ pooling_encoder {{ input: "tracks" }} }} }}
  multi_tower {{ towers {{ input: "deep" mlp {{ hidden_units: [8] }} }} final {{ hidden_units: [4] }} }}
  losses {{ binary_cross_entropy {{}} }}
  metrics {{ auc {{}} }}
}}
"""
WORDS = ["a", "b", "c:d", "x;y", "\x03", "1\x032", 'ü,"q"', "[1]"]


def raw_rows(count, seed=0):
    """Nulls, empty text, separators inside list items, colons in ids, equal keys in maps, NaN."""
    rng = np.random.default_rng(seed)

    def words(most):
        return [WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(0, most + 1))]

    def some(make):
        return [None if rng.random() < 0.1 else make() for _ in range(count)]

    def pairs():
        return "\x1d".join(f"{w}:{rng.random():.7g}" for w in words(3) if ":" not in w)

    def click_ages(items):
        return None if items is None else ";".join(str(rng.integers(0, 99)) for _ in items.split(";"))

    clicks = some(lambda: ";".join("\x1d".join(words(2)).replace(";", "") for _ in range(rng.integers(1, 8))))
    liked = some(lambda: [(w, float(rng.random())) for w in words(3)])
    return pa.table(
        {
            "row": pa.array(np.arange(count)),
            "user": some(lambda: int(rng.integers(0, 50))),
            "tags": some(lambda: words(3)),
            "interests": some(pairs),
            "liked": pa.array(liked, pa.map_(pa.string(), pa.float64())),
            "price": pa.array(rng.exponential(size=count), mask=rng.random(count) < 0.1),
            "vector": some(lambda: "\x1d".join(f"{v:.9g}" for v in rng.normal(size=3))),
            "counts": some(lambda: "\x1d".join(f"{w}:{rng.integers(0, 9)}" for w in ("a", "b"))),
            "click__item": clicks,
            "click__age": [click_ages(items) for items in clicks],
            "track": pa.array(some(lambda: rng.normal(size=(int(rng.integers(0, 5)), 2)).tolist())),
            "label": rng.integers(0, 2, count),
            "w": rng.random(count),
        }
    )


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """A folder with data of several files and row groups, and `x.config`."""
    root = tmp_path_factory.mktemp("raw")
    (root / "train").mkdir()
    table = raw_rows(700)
    pq.write_table(table.slice(0, 330), root / "train" / "a.parquet", row_group_size=90)
    pq.write_table(table.slice(330), root / "train" / "b.parquet", row_group_size=100)
    pq.write_table(table.slice(0, 120), root / "eval.parquet")
    (root / "x.config").write_text(CONFIG.format(root=root))
    return root
