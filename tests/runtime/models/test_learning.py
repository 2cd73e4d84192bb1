"""Models find what only their structure can reach quickly: they beat a plain MLP of like size by a stated margin."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from sklearn.metrics import roc_auc_score

from tzx.runtime.data.batch import BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.arrays import SparseData
from tzx.runtime.models import build_model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

pytestmark = pytest.mark.slow

FEATURES = """
data_config { dataset_type: ParquetDataset fg_mode: FG_NONE label_fields: "click" }
feature_configs { id_feature { feature_name: "user" num_buckets: 200 embedding_dim: 8 } }
feature_configs { id_feature { feature_name: "item" num_buckets: 200 embedding_dim: 8 } }
feature_configs { id_feature { feature_name: "day" num_buckets: 16 embedding_dim: 8 } }
"""
BCE = "losses { binary_cross_entropy {} }"
IDS = 'feature_groups { group_name: "deep" feature_names: ["user", "item", "day"] group_type: DEEP }'
WIDE = 'feature_groups { group_name: "wide" feature_names: ["user", "item", "day"] group_type: WIDE }'
DEEP = "deep { hidden_units: [16, 8] }"
FINAL = 'final { hidden_units: 8 activation: "nn.LeakyReLU" }'
PLAIN = f'multi_tower {{ towers {{ input: "deep" mlp {{ hidden_units: [16, 8] }} }} {FINAL} }}'

# The product of hidden vectors of user and item decides: a match of embeddings.
MATCH = {
    "dlrm": f"dlrm {{ {FINAL} }}",
    "wukong": f"""wukong {{ wukong_layers {{ lcb_feature_num: 2 fmb_feature_num: 2 compressed_feature_num: 3
        feature_num_mlp {{ hidden_units: 8 }} }} {FINAL} }}""",
    "deepfm": f"{WIDE} deepfm {{ {DEEP} {FINAL} }}",
    "xdeepfm": f"{WIDE} xdeepfm {{ cin {{ cin_layer_size: 8 }} {DEEP} {FINAL} wide_embedding_dim: 8 }}",
    "mask_net": "mask_net { mask_net_module { n_mask_blocks: 2 mask_block { hidden_dim: 16 } } }",
    "dcn_v2": f"dcn_v2 {{ cross {{ cross_num: 1 low_rank: 16 }} {DEEP} {FINAL} }}",
}


def make_rows(size, seed):
    """Arrays of the features, and labels that hidden vectors of user and item decide."""
    rng, hidden = np.random.default_rng(seed), np.random.default_rng(99)
    user, item, day = rng.integers(0, 200, size), rng.integers(0, 200, size), rng.integers(0, 16, size)
    of_user, of_item = hidden.normal(size=(200, 4)), hidden.normal(size=(200, 4))
    logits = 2 * (of_user[user] * of_item[item]).sum(1)
    label = (rng.random(size) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    ids = {"user": user, "item": item, "day": day}
    return {name: SparseData(column, np.ones(size, np.int32)) for name, column in ids.items()}, label


def auc_of(text):
    """Train on 40,000 rows for 10 passes in batches of 2,000, and order 4,000 fresh ones."""
    config = text_format.Parse(f"{FEATURES} model_config {{ {text} {BCE} }}", EasyRecConfig())
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    layout = BatchLayout.from_features(features.features)

    def batch_of(size, seed):
        arrays, label = make_rows(size, seed)
        batch = pack(arrays, layout, size)
        batch.labels = {"click": torch.tensor(label)}
        return batch

    torch.manual_seed(0)
    model = build_model(config, features)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batches = [batch_of(2000, seed) for seed in range(20)]
    for step in range(200):
        batch = batches[step % len(batches)]
        loss = sum(model.loss(model.predict(batch), batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = batch_of(4000, 1000)
    with torch.no_grad():
        return roc_auc_score(fresh.labels["click"], model.eval().predict(fresh)["probs"])


@pytest.fixture(scope="module")
def plain_auc():
    return auc_of(f"{IDS} {PLAIN}")


@pytest.mark.parametrize("name", MATCH)
def test_a_match_of_embeddings(name, plain_auc):
    assert auc_of(f"{IDS} {MATCH[name]}") > plain_auc + 0.05
