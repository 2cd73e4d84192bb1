"""A small model with every kind of input, written by hand; and real models on real features."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from tzx.runtime.config import parse_text
from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.arrays import DenseData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.models import build_model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving import export_bundle
from tzx.runtime.serving.trained import TrainedModel

LAYOUT = BatchLayout(
    dense=("price", "vector"),
    dense_dims=(1, 2),
    ids=("user", "tags"),
    weighted_ids=("interests",),
    sequence_ids=("clicks",),
    sequence_dense=("dwell",),
)
OUTPUTS = ("logits", "probs", "probs1")
ROWS = 50


class HandModel(nn.Module):
    """Bags, weighted bags, a padded dense sequence and an id sequence, into two classes."""

    layout = LAYOUT
    output_names = OUTPUTS

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(ROWS, 4))
        self.norm = nn.BatchNorm1d(3)
        self.scale = torch.tensor([1.0, 2.0, 3.0])  # neither parameter nor buffer
        self.linear = nn.Linear(3 + 8 + 4 + 4 + 2, 2)

    def bag(self, values: Tensor, lengths: Tensor, weights: Tensor | None = None) -> Tensor:
        ends = lengths.cumsum(0)
        offsets = torch.cat([ends.new_zeros(1), ends])
        return nn.functional.embedding_bag(
            values, self.table, offsets, mode="sum", include_last_offset=True, per_sample_weights=weights
        )

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        rows = batch.size
        ids = self.bag(batch.ids.values, batch.ids.lengths).reshape(2, rows, 4).permute(1, 0, 2).reshape(rows, 8)
        weighted = batch.weighted_ids
        interests = self.bag(weighted.values, weighted.lengths, weighted.weights)
        clicks = self.bag(batch.sequence_ids.values, batch.sequence_ids.lengths)
        dwell = batch.sequences["dwell"]
        starts = dwell.seq_lengths.cumsum(0) - dwell.seq_lengths
        inside = dwell.positions[None] < dwell.seq_lengths[:, None]
        padded = torch.cat([dwell.values, dwell.values.new_zeros(1, 2)])
        at = torch.where(inside, starts[:, None] + dwell.positions[None], dwell.values.shape[0])
        parts = [self.norm(batch.dense * self.scale), ids, interests, clicks, padded[at].sum(1)]
        logits = self.linear(torch.cat(parts, 1))
        probs = logits.softmax(1)
        return {"logits": logits, "probs": probs, "probs1": probs[:, 1]}


def random_batch(size: int, longest: int = 4, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)

    def lengths(high: int) -> np.ndarray:
        return rng.integers(0, high + 1, size).astype(np.int32)

    def ids(counts: np.ndarray) -> np.ndarray:
        return rng.integers(0, ROWS, int(counts.sum()))

    tags, interests, clicks, dwell = lengths(3), lengths(2), lengths(longest), lengths(longest)
    per_click = rng.integers(0, 3, int(clicks.sum())).astype(np.int32)
    arrays = {
        "price": DenseData(rng.normal(size=(size, 1)).astype(np.float32)),
        "vector": DenseData(rng.normal(size=(size, 2)).astype(np.float32)),
        "user": SparseData(rng.integers(0, ROWS, size), np.ones(size, np.int32)),
        "tags": SparseData(ids(tags), tags),
        "interests": SparseData(ids(interests), interests, rng.random(int(interests.sum()), np.float32)),
        "clicks": SequenceSparseData(ids(per_click), per_click, clicks),
        "dwell": SequenceDenseData(rng.normal(size=(int(dwell.sum()), 2)).astype(np.float32), dwell),
    }
    return pack(arrays, LAYOUT, size)


@pytest.fixture(scope="session")
def hand_model() -> HandModel:
    torch.manual_seed(0)
    model = HandModel()
    model.norm.running_mean.uniform_(-1, 1)
    model.norm.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    return random_batch


# ---------------------------------------------------------------- real configs and rows

CONFIG = """
train_input_path: "{root}/train.parquet" eval_input_path: "" model_dir: "{root}/run"
train_config {{ num_steps: 3
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.1 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.01 }} constant_learning_rate {{}} }} }}
data_config {{ dataset_type: ParquetDataset fg_mode: FG_DAG batch_size: 64 num_workers: 0 label_fields: "click" }}
feature_configs {{ id_feature {{ feature_name: "user" expression: "user:user" hash_bucket_size: 100
  embedding_dim: 4 }} }}
feature_configs {{ id_feature {{ feature_name: "item" expression: "item:item" vocab_file: "{root}/items.txt"
  embedding_dim: 4 default_bucketize_value: 1 }} }}
feature_configs {{ id_feature {{ feature_name: "tags" expression: "item:tags" num_buckets: 20 embedding_dim: 4
  pooling: "mean" data_type: "FP16" }} }}
feature_configs {{ id_feature {{ feature_name: "likes" expression: "user:likes" num_buckets: 30 embedding_dim: 4
  weighted: true }} }}
feature_configs {{ raw_feature {{ feature_name: "price" expression: "item:price" normalizer: "method=log10" }} }}
feature_configs {{ raw_feature {{ feature_name: "shape" expression: "item:shape" value_dim: 2 separator: "," }} }}
feature_configs {{ sequence_feature {{ sequence_name: "clicks" sequence_length: 6 sequence_delim: ";"
  features {{ id_feature {{ feature_name: "item" expression: "item:item" vocab_file: "{root}/items.txt"
    embedding_dim: 4 embedding_name: "item_emb" default_bucketize_value: 1 }} }}
  features {{ raw_feature {{ feature_name: "price" expression: "item:price" }} }} }} }}
model_config {{ {model} }}
"""

_USER = 'feature_groups { group_name: "user" feature_names: ["user", "likes", "price"] group_type: DEEP }'
_ITEM = 'feature_groups { group_name: "item" feature_names: ["item", "tags", "shape"] group_type: DEEP }'
_SEQ = """feature_groups { group_name: "seq" feature_names: ["item", "clicks__item", "clicks__price"]
          group_type: SEQUENCE }"""
_WIDE = 'feature_groups { group_name: "wide" feature_names: ["user", "item", "tags"] group_type: WIDE }'
_DEEP = 'feature_groups { group_name: "deep" feature_names: ["user", "item", "tags", "likes"] group_type: DEEP }'
_BCE = "losses { binary_cross_entropy {} } metrics { auc {} }"
MODELS = {
    "deepfm": f"{_WIDE} {_DEEP} deepfm {{ deep {{ hidden_units: [8, 5] }} final {{ hidden_units: 6 }} }} {_BCE}",
    "wide_and_deep": f"{_WIDE} {_DEEP} wide_and_deep {{ deep {{ hidden_units: 8 use_bn: true }} }} {_BCE}",
    "multi_tower": f"""{_USER} {_ITEM} multi_tower {{ towers {{ input: "user" mlp {{ hidden_units: [7] }} }}
        towers {{ input: "item" }} final {{ hidden_units: 6 }} }} num_class: 2 losses {{ softmax_cross_entropy {{}} }}
        metrics {{ auc {{}} }}""",
    "multi_tower_din": f"""{_USER} {_SEQ} multi_tower_din {{ towers {{ input: "user" mlp {{ hidden_units: [7] }} }}
        din_towers {{ input: "seq" attn_mlp {{ hidden_units: [5, 3] activation: "Dice" }} }}
        final {{ hidden_units: 6 }} }} {_BCE}""",
    "dlrm": f"""feature_groups {{ group_name: "sparse" feature_names: ["user", "item", "tags"] group_type: DEEP }}
        feature_groups {{ group_name: "dense" feature_names: ["price", "shape"] group_type: DEEP }}
        dlrm {{ dense_mlp {{ hidden_units: [6, 4] }} final {{ hidden_units: 6 }} }} {_BCE}""",
    "mmoe": f"""{_USER} mmoe {{ expert_mlp {{ hidden_units: [8, 5] }} num_expert: 2
        task_towers {{ tower_name: "ctr" label_name: "click" losses {{ binary_cross_entropy {{}} }}
          metrics {{ auc {{}} }} mlp {{ hidden_units: [6] }} }}
        task_towers {{ tower_name: "stars" label_name: "stars" losses {{ l2_loss {{}} }}
          metrics {{ mean_squared_error {{}} }} }} }}""",
}


def make_rows(count: int, seed: int = 0) -> pa.Table:
    """Rows with nulls, unknown values, several values and empty sequences."""
    rng = np.random.default_rng(seed)

    def several(low: int, high: int, join: str, each=str) -> list[str]:
        return [join.join(each(v) for v in rng.integers(0, high, rng.integers(low, 5))) for _ in range(count)]

    items = several(0, 15, ";", lambda v: f"i{v}")
    prices = [";".join("0.5" for _ in text.split(";")) if text else "" for text in items]
    return pa.table(
        {
            "row": np.arange(count),
            "user": [f"u{v}" if v % 11 else None for v in rng.integers(0, 60, count)],
            "item": [f"i{v}" for v in rng.integers(0, 15, count)],
            "tags": several(0, 20, "\x1d"),
            "likes": several(0, 30, "\x1d", lambda v: f"{v}:{v / 7:.2f}"),
            "price": rng.uniform(1, 50, count),
            "shape": [f"{a:.3f},{b:.3f}" for a, b in rng.normal(size=(count, 2))],
            "clicks__item": items,
            "clicks__price": prices,
            "click": rng.integers(0, 2, count),
            "stars": rng.uniform(0, 5, count).astype(np.float32),
        }
    )


@dataclass(frozen=True)
class Data:
    """A directory with a data set, and configs that read it."""

    root: Path
    rows: pa.Table

    def config(self, name: str) -> EasyRecConfig:
        text = CONFIG.format(root=self.root, model=MODELS[name])
        return parse_text(text.replace('label_fields: "click"', 'label_fields: ["click", "stars"]'), f"{name}.config")

    def trained(self, name: str) -> TrainedModel:
        """The model with random weights large enough that a wrong lookup shows."""
        config = self.config(name)
        features = FeatureSet.from_config(config.feature_configs, config.data_config)
        torch.manual_seed(0)
        model = build_model(config, features)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        return TrainedModel(config, features, model.eval(), torch.device("cpu"))


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Data:
    root = tmp_path_factory.mktemp("data")
    rows = make_rows(300)
    pq.write_table(rows, root / "train.parquet", row_group_size=70)
    (root / "items.txt").write_text("".join(f"i{i}\n" for i in range(12)))
    return Data(root, rows)


@pytest.fixture(scope="session")
def bundles(data, tmp_path_factory) -> Callable[[str], Path]:
    """Directory of an exported model, by name; exported at most once."""

    @cache
    def export(name: str) -> Path:
        target = tmp_path_factory.mktemp("bundles") / name
        export_bundle(data.config(name), None, target, trained=data.trained(name))
        return target

    return export
