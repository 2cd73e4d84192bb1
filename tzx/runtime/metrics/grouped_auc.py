"""Exact AUC inside each group of rows (all rows of one user, say), averaged over groups.

Legend: B rows of a batch, N rows in all, G groups.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.keys import row_keys
from tzx.runtime.metrics.base import Metric
from tzx.runtime.metrics.sync import all_sum, route, world_size


def group_aucs(key_N: Tensor, score_N: Tensor, positive_N: Tensor) -> Tensor:
    """AUC of every group that has both classes, float64 [G], by the rank-sum formula of Mann and Whitney.

    Args:
        key_N: int64 [N], the group of each row.
        score_N: float [N].
        positive_N: bool [N].
    """
    order_N = torch.argsort(score_N, stable=True)
    order_N = order_N[torch.argsort(key_N[order_N], stable=True)]
    key_N, score_N, positive_N = key_N[order_N], score_N[order_N], positive_N[order_N].double()
    group_N = torch.unique_consecutive(key_N, return_inverse=True)[1]
    new_run_N = torch.ones_like(key_N, dtype=torch.bool)
    new_run_N[1:] = (key_N[1:] != key_N[:-1]) | (score_N[1:] != score_N[:-1])
    run_N = new_run_N.cumsum(0) - 1
    run_sizes = torch.bincount(run_N).double()
    tie_rank_N = (run_sizes.cumsum(0) - (run_sizes - 1) / 2)[run_N]  # 1-based over all rows, ties at their middle

    sizes_G = torch.bincount(group_N).double()
    before_G = sizes_G.cumsum(0) - sizes_G
    zeros_G = torch.zeros_like(sizes_G)
    positives_G = zeros_G.index_add(0, group_N, positive_N)
    rank_sums_G = zeros_G.index_add(0, group_N, (tie_rank_N - before_G[group_N]) * positive_N)
    pairs_G = positives_G * (sizes_G - positives_G)
    aucs_G = (rank_sums_G - positives_G * (positives_G + 1) / 2) / pairs_G
    return aucs_G[pairs_G > 0]


class GroupedAUC(Metric):
    """Mean AUC over the groups that have both classes; NaN when there is none.

    Keeps every row in host memory (13 bytes each) until `compute`, which brings the rows of a group together on
    the process `key mod world`. Reading the batch's ids waits for the accelerator.

    Args:
        grouping_key: a plain sparse feature (first id of a row counts) or a label column.
        output: the prediction [B] to rank rows by, `probs` or `probs1`.
    """

    def __init__(self, grouping_key: str, output: str) -> None:
        self.grouping_key, self.output = grouping_key, output
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        self._keys = [torch.empty(0, dtype=torch.int64)]
        self._scores = [torch.empty(0)]
        self._positives = [torch.empty(0, dtype=torch.bool)]

    def update(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch) -> None:
        """Remember key, score and class of each row."""
        self._keys.append(row_keys(batch, self.grouping_key).cpu())
        self._scores.append(predictions[self.output].float().cpu())
        self._positives.append((label_B > 0.5).cpu())

    def compute(self) -> Tensor:
        """Route rows by key, average the groups here, then over processes."""
        key_N = torch.cat(self._keys)
        owner_N = key_N.remainder(world_size())
        columns = route(owner_N, [key_N, torch.cat(self._scores), torch.cat(self._positives)])
        key_N, score_N, positive_N = (c.cpu() for c in columns)
        aucs_G = group_aucs(key_N, score_N, positive_N)
        sum_count_nan = torch.stack([aucs_G.sum(), torch.tensor(float(len(aucs_G))), score_N.isnan().sum()]).double()
        total, count, nans = all_sum(sum_count_nan).unbind()
        return torch.where(nans > 0, torch.nan, total / count)
