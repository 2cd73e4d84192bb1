"""The example in docs/embeddings.md builds, and gives the widths that the text says."""

from pathlib import Path

from google.protobuf import text_format

from tzx.runtime.data.batch import BatchLayout
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.features import FeatureSet
from tzx.runtime.nn.initializers import _TORCH_INITIALIZERS
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

TEXT = (Path(__file__).parents[3] / "docs" / "embeddings.md").read_text()


def test_example_builds_with_the_stated_widths() -> None:
    example = TEXT.split("```protobuf\n")[1].split("```")[0]
    config = text_format.Parse(f'model_dir: "m" train_input_path: "t" {example}', EasyRecConfig())
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    layout = BatchLayout.from_features(features.features)
    groups = EmbeddingGroups(features.features, config.model_config.feature_groups, layout)
    assert groups.group_dims("deep") == [16, 16, 1, 16]
    assert groups.group_dims("wide") == [4, 4]
    assert {t.name for t in groups.tables} == {"user_id_emb", "item_emb", "user_id_emb_wide", "item_emb_wide"}


def test_every_initializer_is_listed() -> None:
    assert [name for name in _TORCH_INITIALIZERS if f"`{name}`" not in TEXT] == []
