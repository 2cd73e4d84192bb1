import pytest
import torch

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged


@pytest.fixture
def batch_with():
    """Builds a batch of plain sparse features, given as one list of ids per row, and labels."""

    def build(features=None, labels=None):
        features = features or {}
        size = len(next(iter((features or labels).values())))
        rows = [row for lists in features.values() for row in lists]
        values = torch.tensor([i for row in rows for i in row], dtype=torch.int64)
        empty = Jagged(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32))
        return Batch(
            size=size,
            layout=BatchLayout(ids=tuple(features)),
            dense=torch.empty(size, 0),
            ids=Jagged(values, torch.tensor([len(row) for row in rows], dtype=torch.int32)),
            weighted_ids=empty,
            sequence_ids=empty,
            labels=labels or {},
        )

    return build
