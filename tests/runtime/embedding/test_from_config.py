"""From config text and Arrow columns to group tensors, with the real feature engine and packer."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.data.batch import BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

CONFIG = """
model_dir: "unused"
train_input_path: "unused"
data_config { batch_size: 2 dataset_type: ParquetDataset fg_mode: FG_NONE label_fields: "label" }
feature_configs { id_feature {
  feature_name: "item" expression: "item:item" embedding_name: "item_emb" embedding_dim: 4 num_buckets: 10 } }
feature_configs { id_feature {
  feature_name: "tags" expression: "item:tags" embedding_dim: 4 num_buckets: 5 pooling: "mean" weighted: true } }
feature_configs { raw_feature { feature_name: "age" expression: "user:age" boundaries: [20, 30] embedding_dim: 4 } }
feature_configs { raw_feature { feature_name: "price" expression: "item:price" } }
feature_configs { sequence_feature {
  sequence_name: "click" sequence_length: 50 sequence_delim: ";"
  features { id_feature {
    feature_name: "item" expression: "item:item" embedding_name: "item_emb" embedding_dim: 4 num_buckets: 10 } }
  features { raw_feature { feature_name: "price" expression: "item:price" } }
} }
model_config {
  feature_groups {
    group_name: "deep" group_type: DEEP feature_names: ["price", "item", "tags", "age"]
    sequence_groups { group_name: "click" feature_names: ["item", "price", "click__item", "click__price"] }
    sequence_encoders { din_encoder { input: "click" attn_mlp { hidden_units: 4 } } }
  }
  feature_groups {
    group_name: "click" group_type: SEQUENCE feature_names: ["item", "click__item", "click__price"]
  }
}
"""


@pytest.fixture(scope="module")
def built() -> SimpleNamespace:
    config = text_format.Parse(CONFIG, EasyRecConfig())
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    layout = BatchLayout.from_features(features.features)
    torch.manual_seed(0)
    groups = EmbeddingGroups(features.features, config.model_config.feature_groups, layout)
    return SimpleNamespace(config=config, features=features, layout=layout, groups=groups)


def test_rows_of_a_config_become_group_tensors(built: SimpleNamespace) -> None:
    columns = {
        "item": pa.array([3, 4]),
        "tags": pa.array(["1:0.5\x032:2.0", "4:1.0"]),
        "age": pa.array([0, 2]),
        "price": pa.array([1.5, -1.0]),
        "click__item": pa.array(["3;7", "9"]),
        "click__price": pa.array(["0.25;0.5", "0.75"]),
    }
    arrays = built.features.generate(pa.RecordBatch.from_pydict(columns))
    outputs = built.groups(pack(arrays, built.layout, 2))
    tables = {n.split(".")[-2]: p for n, p in built.groups.named_parameters() if "collection" in n}
    assert {n: tuple(t.shape) for n, t in tables.items()} == {
        "item_emb": (10, 4),
        "tags_emb": (5, 4),
        "age_emb": (3, 4),
    }
    item, tags, age = tables["item_emb"], tables["tags_emb"], tables["age_emb"]
    first = torch.cat([torch.tensor([1.5]), item[3], (0.5 * tags[1] + 2 * tags[2]) / 2, age[0]])
    torch.testing.assert_close(outputs["deep"][0, :13], first)
    assert built.groups.feature_dims("deep") == {"price": 1, "item": 4, "tags": 4, "age": 4, "deep_seq_encoder_0": 5}
    expected = torch.zeros(2, 2, 5)
    expected[0] = torch.stack([torch.cat([item[i], torch.tensor([p])]) for i, p in ((3, 0.25), (7, 0.5))])
    expected[1, 0] = torch.cat([item[9], torch.tensor([0.75])])
    torch.testing.assert_close(outputs["click.sequence"], expected)
    torch.testing.assert_close(outputs["click.query"], item[[3, 4]])
    assert outputs["click.sequence_length"].tolist() == [2, 1]


def test_planned_tables_carry_the_config(built: SimpleNamespace) -> None:
    found = {t.name: (t.rows, t.dim, t.pooling, t.kind, t.weighted, t.feature_names) for t in built.groups.tables}
    assert found == {
        "item_emb": (10, 4, "sum", "sequence", False, ("item", "click__item")),
        "tags_emb": (5, 4, "mean", "pooled", True, ("tags",)),
        "age_emb": (3, 4, "sum", "pooled", False, ("age",)),
    }
