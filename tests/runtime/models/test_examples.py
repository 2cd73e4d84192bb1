"""The example configs build the models they name, with weights on the meta device to save memory."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from tzx.runtime.embedding.tables import table_device
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.config"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_builds(path):
    config = text_format.Parse(path.read_text(), EasyRecConfig())
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    with table_device("meta"):
        model = build_model(config, features)
    own = getattr(config.model_config, config.model_config.WhichOneof("model"))
    assert type(model).__name__ == own.DESCRIPTOR.name
    assert len(model.output_names) == len(set(model.output_names)) > 0
    assert model.tables
