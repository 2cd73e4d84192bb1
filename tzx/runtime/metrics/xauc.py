"""Share of pairs of rows that predictions order as their labels do, over all pairs, not a sample.

Legend: B rows of a batch, N rows in all, G groups.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.keys import row_keys
from tzx.runtime.metrics.base import Metric, SumMetric
from tzx.runtime.metrics.sync import all_sum, route, world_size


def concordant_pairs(group_N: Tensor, target_N: Tensor, score_N: Tensor, num_groups: int) -> Tensor:
    """Pairs of each group whose scores differ the way their targets do, int64 [G].

    Rows in the order of their targets, pairs with rising scores are counted bit by bit: two ranks differ first in one
    bit, where the smaller one has 0. Takes O(N log N) and never waits for an accelerator.

    Args:
        group_N: int64 [N], from 0 to G - 1.
        target_N: [N].
        score_N: [N], without NaN.
        num_groups: G.
    """
    order_N = torch.argsort(score_N, descending=True, stable=True)  # of equal targets no pair rises
    order_N = order_N[torch.argsort(target_N[order_N], stable=True)]
    order_N = order_N[torch.argsort(group_N[order_N], stable=True)]
    rank_N = torch.searchsorted(score_N.sort().values, score_N)[order_N]
    group_N = node_N = group_N[order_N]  # node: rows that agree in group and in the bits seen so far, side by side
    pairs_G = torch.zeros(num_groups, dtype=torch.int64, device=score_N.device)
    for bit in reversed(range((len(rank_N) - 1).bit_length() if len(rank_N) else 0)):
        one_N = (rank_N >> bit) & 1
        first_N, last_N = _bounds(node_N)
        zeros_N = (1 - one_N).cumsum(0)
        before_N = torch.where(first_N > 0, zeros_N[first_N - 1], 0)
        of_node_N, zeros_N = zeros_N[last_N] - before_N, zeros_N - before_N
        pairs_G.index_add_(0, group_N, one_N * zeros_N)
        # Within its node a 0 goes behind the zeros before it, a 1 behind all zeros and the ones before it.
        behind_zeros_N = of_node_N + torch.arange(len(one_N), device=one_N.device) - zeros_N
        to_N = torch.where(one_N > 0, behind_zeros_N, first_N + zeros_N - 1)
        node_N, rank_N, group_N = (_moved(c, to_N) for c in (2 * node_N + one_N, rank_N, group_N))
    return pairs_G


def _bounds(node_N: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the first and the last row of each row's run of equal numbers, int64 [N] both."""
    at_N, end = torch.arange(len(node_N), device=node_N.device), len(node_N)
    change = node_N[1:] != node_N[:-1]
    edge = torch.ones(1, dtype=torch.bool, device=node_N.device)
    first_N = torch.where(torch.cat([edge, change]), at_N, 0).cummax(0).values
    last_N = torch.where(torch.cat([change, edge]), at_N, end).flip(0).cummin(0).values.flip(0)
    return first_N, last_N


def _moved(column_N: Tensor, to_N: Tensor) -> Tensor:
    return torch.empty_like(column_N).scatter_(0, to_N, column_N)


class BatchXAUC(SumMetric):
    """Share of the pairs within batches that are in the right order; a pair with equal labels or scores is not."""

    def __init__(self, output: str) -> None:
        super().__init__(2)
        self.output = output

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Count the batch's pairs."""
        score_B = predictions[self.output]
        rows, state = score_B.shape[0], self.state_on(score_B.device)
        one_group_B = torch.zeros_like(score_B, dtype=torch.int64)
        state[:1] += concordant_pairs(one_group_B, label_B, score_B.nan_to_num(), 1)
        state[1] += rows * (rows - 1) / 2
        state[0] += torch.where(score_B.isnan().any(), torch.nan, 0.0)

    def value(self, state: Tensor) -> Tensor:
        """Right pairs over all pairs."""
        return state[0] / state[1]


class _KeptRows(Metric):
    """Keeps label and prediction of every row in host memory, 12 bytes each, and its key where there is one."""

    def __init__(self, output: str, key: str | None = None) -> None:
        self.output, self.key = output, key
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        self._keys = [torch.empty(0, dtype=torch.int64)]
        self._targets = [torch.empty(0, dtype=torch.float64)]
        self._scores = [torch.empty(0)]

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Remember the rows."""
        if self.key is not None:
            self._keys.append(row_keys(batch, self.key).cpu())
        self._targets.append(label_B.double().cpu())
        self._scores.append(predictions[self.output].float().cpu())

    def compute(self) -> Tensor:
        """Bring the rows of a group together in one process, count there, then add up over processes."""
        target_N, score_N = torch.cat(self._targets), torch.cat(self._scores)
        key_N = torch.zeros_like(target_N, dtype=torch.int64) if self.key is None else torch.cat(self._keys)
        columns = route(key_N.remainder(world_size()), [key_N, target_N, score_N])
        key_N, target_N, score_N = (column.cpu() for column in columns)
        group_N = torch.unique(key_N, return_inverse=True)[1]
        size_G = torch.bincount(group_N).double()
        right_G = concordant_pairs(group_N, target_N, score_N.nan_to_num(), len(size_G))
        share_G = right_G / (size_G * (size_G - 1) / 2)
        large_G = size_G > 1
        weighted = (share_G * size_G)[large_G].sum()
        sums = torch.stack([weighted, size_G[large_G].sum(), score_N.isnan().sum().double()])
        total, weight, nans = all_sum(sums).unbind()
        return torch.where(nans > 0, torch.nan, total / weight)


class XAUC(_KeptRows):
    """Share of all pairs that are in the right order; a pair with equal labels or scores is not. NaN below two rows.

    `compute` gathers all rows in the first process.

    Args:
        output: the prediction [B] to order rows by.
    """

    def __init__(self, output: str) -> None:
        super().__init__(output)


class GroupedXAUC(_KeptRows):
    """XAUC inside each group of rows, averaged by rows over the groups of two rows and more; NaN without such a group.

    Args:
        grouping_key: a plain sparse feature (first id of a row counts) or a label column.
        output: the prediction [B] to order rows by.
    """

    def __init__(self, grouping_key: str, output: str) -> None:
        super().__init__(output, grouping_key)
