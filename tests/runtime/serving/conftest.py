"""A small model with every kind of input, written by hand, and random batches for it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features.arrays import DenseData, SequenceDenseData, SequenceSparseData, SparseData

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
