import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.arrays import DenseData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.models import build_model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

sys.path.insert(0, str(Path(__file__).parent))  # for model_zoo

from model_zoo import TEXTS
from model_zoo.configs import FEATURES


def pytest_generate_tests(metafunc):
    """Run a test that asks for `model_name` once per model."""
    if "model_name" in metafunc.fixturenames:
        metafunc.parametrize("model_name", list(TEXTS))


@pytest.fixture
def model_texts():
    """Text of model_config by name."""
    return TEXTS


@dataclasses.dataclass
class Case:
    """A config, its features, and rows as arrays and as a batch."""

    config: EasyRecConfig
    features: FeatureSet
    arrays: dict
    batch: Batch

    def model(self, seed=0):
        """The model with every parameter random, so that no term of a formula is hidden by a zero."""
        torch.manual_seed(seed)
        model = build_model(self.config, self.features)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return model


def make_arrays(size, seed=0):
    """Random rows of every feature; some rows have no tags or an empty sequence."""
    rng = np.random.default_rng(seed)

    def ids(rows, buckets, counts):
        return SparseData(rng.integers(0, buckets, counts.sum()), counts.astype(np.int32))

    one, few, steps = np.ones(size, int), rng.integers(0, 4, size), rng.integers(0, 6, size)
    return {
        "user": ids(size, 9, one),
        "item": ids(size, 11, one),
        "tags": ids(size, 7, few),
        "city": ids(size, 5, one),
        "age": DenseData(rng.normal(size=(size, 1)).astype(np.float32)),
        "price": DenseData(rng.normal(size=(size, 3)).astype(np.float32)),
        "seen": SequenceSparseData(
            rng.integers(0, 11, steps.sum()), np.ones(steps.sum(), np.int32), steps.astype(np.int32)
        ),
        "towns": SequenceSparseData(
            rng.integers(0, 5, steps.sum()), np.ones(steps.sum(), np.int32), steps.astype(np.int32)
        ),
        "paid": SequenceDenseData(rng.normal(size=(steps.sum(), 2)).astype(np.float32), steps.astype(np.int32)),
    }


@pytest.fixture
def make_case():
    """Builds a case from the text of a model_config."""

    def build(model_config, size=8, seed=0):
        config = text_format.Parse(f"{FEATURES} model_config {{ {model_config} }}", EasyRecConfig())
        features = FeatureSet.from_config(config.feature_configs, config.data_config)
        arrays = make_arrays(size, seed)
        batch = pack(arrays, BatchLayout.from_features(features.features), size)
        rng = np.random.default_rng(seed + 1)
        batch.labels = {
            "click": torch.tensor(rng.integers(0, 2, size)),
            "buy": torch.tensor(rng.integers(0, 2, size)),
            "stars": torch.tensor(rng.integers(0, 3, size).astype(np.float32)),
        }
        batch.sample_weights = {n: torch.tensor(rng.random(size).astype(np.float32)) for n in ("w", "w2")}
        return Case(config, features, arrays, batch)

    return build
