"""One integer per row, by which rows are told apart or brought together. Legend: B rows, N ids."""

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch

NO_KEY = -1


def first_ids(values_N: Tensor, lengths_B: Tensor) -> Tensor:
    """First id of each row, NO_KEY for a row without ids; int64 [B]."""
    lengths_B = lengths_B.long()
    start_B = lengths_B.cumsum(0) - lengths_B
    padded = torch.cat([values_N, values_N.new_full((1,), NO_KEY)])
    return torch.where(lengths_B > 0, padded[start_B], NO_KEY)


def row_keys(batch: Batch, name: str) -> Tensor:
    """Each row's first id of a plain sparse feature, or its value of a label column; int64 [B].

    Ids of a feature are found by their lengths, which waits for the accelerator; a label does not.

    Args:
        batch: the rows.
        name: feature, or label column where no feature is called so.
    """
    if name in batch.layout.ids or name in batch.layout.weighted_ids:
        return first_ids(*batch.ids_of(name))
    return batch.labels[name].long()
