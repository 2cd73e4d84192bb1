import dataclasses

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

FEATURES = """
data_config {
  dataset_type: ParquetDataset fg_mode: FG_NONE
  label_fields: ["click", "buy", "stars"] sample_weight_fields: ["w", "w2"]
}
feature_configs { id_feature { feature_name: "user" expression: "user:user" num_buckets: 9 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "item" expression: "item:item" num_buckets: 11 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "tags" expression: "item:tags" num_buckets: 7 embedding_dim: 4
                               pooling: "mean" } }
feature_configs { id_feature { feature_name: "city" expression: "user:city" num_buckets: 5 embedding_dim: 6 } }
feature_configs { raw_feature { feature_name: "age" expression: "user:age" } }
feature_configs { raw_feature { feature_name: "price" expression: "item:price" value_dim: 3 } }
feature_configs { sequence_id_feature { feature_name: "seen" expression: "user:seen" num_buckets: 11 embedding_dim: 4
                                        sequence_length: 10 embedding_name: "item_emb" } }
feature_configs { sequence_raw_feature { feature_name: "paid" expression: "user:paid" value_dim: 2
                                         sequence_length: 10 } }
"""

# One config per model, with every part of the model in it, and variants that leave parts out.
WIDE = 'feature_groups { group_name: "wide" feature_names: ["user", "item", "tags", "city"] group_type: WIDE }'
DEEP = 'feature_groups { group_name: "deep" feature_names: ["user", "item", "tags"] group_type: DEEP }'
MIXED = 'feature_groups { group_name: "deep" feature_names: ["user", "city", "age", "price"] group_type: DEEP }'
FM = 'feature_groups { group_name: "fm" feature_names: ["item", "user", "tags"] group_type: DEEP }'
ALL = 'feature_groups { group_name: "all" feature_names: ["user", "age", "tags", "item", "price"] group_type: DEEP }'
TWO = """
feature_groups { group_name: "user" feature_names: ["user", "city", "age"] group_type: DEEP }
feature_groups { group_name: "item" feature_names: ["item", "tags"] group_type: DEEP }
"""
SEQ = 'feature_groups { group_name: "seq" feature_names: ["item", "seen", "paid"] group_type: SEQUENCE }'
SPARSE = 'feature_groups { group_name: "sparse" feature_names: ["user", "item", "tags"] group_type: DEEP }'
DENSE = 'feature_groups { group_name: "dense" feature_names: ["age", "price"] group_type: DEEP }'
BCE = "losses { binary_cross_entropy {} } metrics { auc {} } metrics { accuracy {} } train_metrics { auc {} }"
CE3 = "num_class: 3 losses { softmax_cross_entropy {} } metrics { accuracy {} }"
TASKS = """
task_towers { tower_name: "ctr" label_name: "click" losses { binary_cross_entropy {} } metrics { auc {} }
              mlp { hidden_units: [6] } }
task_towers { tower_name: "stars" label_name: "stars" losses { softmax_cross_entropy {} } num_class: 3
              metrics { accuracy {} } }
task_towers { tower_name: "value" label_name: "stars" losses { l2_loss {} } metrics { mean_squared_error {} }
              train_metrics { mean_absolute_error {} } }
"""

MODELS = {
    "deepfm": f"{WIDE} {DEEP} deepfm {{ deep {{ hidden_units: [8, 5] }} final {{ hidden_units: 6 }} }} {BCE}",
    "deepfm_sum": f"{WIDE} {MIXED} {FM} deepfm {{ deep {{ hidden_units: 8 }} wide_embedding_dim: 3 }} {CE3}",
    "wide_and_deep": f"{WIDE} {MIXED} wide_and_deep {{ deep {{ hidden_units: 8 }} final {{ hidden_units: 6 }} }} {BCE}",
    "wide_and_deep_sum": f"{WIDE} {MIXED} wide_and_deep {{ deep {{ hidden_units: [8, 4] }} }} {BCE}",
    "multi_tower": f"""{TWO} multi_tower {{ towers {{ input: "user" mlp {{ hidden_units: [7] }} }}
        towers {{ input: "item" }} final {{ hidden_units: 6 }} }} {BCE}""",
    "multi_tower_din": f"""{TWO} {SEQ} multi_tower_din {{ towers {{ input: "user" mlp {{ hidden_units: [7] }} }}
        towers {{ input: "item" }} din_towers {{ input: "seq" attn_mlp {{ hidden_units: [5, 3] }} }}
        final {{ hidden_units: 6 }} }} {BCE}""",
    "dlrm": f"""{SPARSE} {DENSE} dlrm {{ dense_mlp {{ hidden_units: [6, 4] }} final {{ hidden_units: 6 }} }} {BCE}""",
    "dlrm_plain": f"""feature_groups {{ group_name: "only" feature_names: ["tags", "user", "item"] group_type: DEEP }}
        dlrm {{ arch_with_sparse: false final {{ hidden_units: 6 }} }} {BCE}""",
    "mmoe": f"""{ALL} mmoe {{ expert_mlp {{ hidden_units: [8, 5] }} gate_mlp {{ hidden_units: 4 }} num_expert: 2
        {TASKS} }}""",
    "mmoe_plain": f"{ALL} mmoe {{ expert_mlp {{ hidden_units: 8 }} {TASKS} }}",
}


def pytest_generate_tests(metafunc):
    """Run a test that asks for `model_name` once per model."""
    if "model_name" in metafunc.fixturenames:
        metafunc.parametrize("model_name", list(MODELS))


@pytest.fixture
def model_texts():
    """Text of model_config by name."""
    return MODELS


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
