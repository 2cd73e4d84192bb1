"""Features that leave a config, and those that something else still reads."""

import pytest

from tzx.runtime.config import dump_config, parse_text
from tzx.runtime.config.reduction import reduce_features

TEXT = """
train_input_path: "a" eval_input_path: "" model_dir: "m"
feature_configs { id_feature { feature_name: "user" expression: "user:user" num_buckets: 9 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "item" expression: "item:item" num_buckets: 9 embedding_dim: 4 } }
feature_configs { raw_feature { feature_name: "age" expression: "user:age" } }
feature_configs { expr_feature { feature_name: "older" expression: "a + 1" variables: "feature:age" } }
feature_configs {
  sequence_feature {
    sequence_name: "seen" sequence_length: 5 sequence_delim: ";"
    features { id_feature { feature_name: "item" expression: "item:item" num_buckets: 9 embedding_dim: 4 } }
    features { raw_feature { feature_name: "price" expression: "item:price" } }
  }
}
model_config {
  feature_groups { group_name: "deep" group_type: DEEP feature_names: ["user", "item", "age", "older"] }
  feature_groups { group_name: "other" group_type: DEEP feature_names: ["item", "older"] }
  feature_groups { group_name: "seq" group_type: SEQUENCE feature_names: ["item", "seen__item", "seen__price"] }
  multi_tower_din {
    towers { input: "deep" } towers { input: "other" }
    din_towers { input: "seq" attn_mlp { hidden_units: 4 } } final { hidden_units: 4 }
  }
  losses { binary_cross_entropy {} }
  metrics { grouped_auc { grouping_key: "user" } }
}
data_config { dataset_type: ParquetDataset label_fields: "clk" fg_mode: FG_DAG }
"""


def names_of(config):
    found = []
    for feature in config.feature_configs:
        inner = getattr(feature, feature.WhichOneof("feature"))
        inside = getattr(inner, "features", None)
        found.append(inner.feature_name if inside is None else [m.WhichOneof("feature") for m in inside])
    return found


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        ({"deep": ["item"]}, ["user", "item", "age", "older", ["id_feature", "raw_feature"]]),
        ({"deep": ["item"], "other": ["item"]}, ["user", "item", ["id_feature", "raw_feature"]]),
        ({"seq": ["item", "seen__price"]}, ["user", "item", "age", "older", ["raw_feature"]]),
        ({"seq": ["item"]}, ["user", "item", "age", "older"]),
        ({}, ["user", "item", "age", "older", ["id_feature", "raw_feature"]]),
    ],
)
def test_what_is_left(kept, left):
    config = parse_text(TEXT)
    before = dump_config(config)
    reduced = reduce_features(config, kept)
    assert names_of(reduced) == left and dump_config(config) == before
    for group in reduced.model_config.feature_groups:
        whole = next(g for g in config.model_config.feature_groups if g.group_name == group.group_name)
        wanted = kept.get(group.group_name, list(whole.feature_names))
        assert list(group.feature_names) == [name for name in whole.feature_names if name in wanted]
    assert dump_config(parse_text(dump_config(reduced))) == dump_config(reduced)
