"""Exact AUC inside each group of rows (all rows of one user, say), averaged over groups. Legend: N rows, G groups."""

import torch
from torch import Tensor

from tzx.runtime.metrics.grouped import GroupedMetric


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


class GroupedAUC(GroupedMetric):
    """Mean AUC over the groups that have both classes."""

    def of_groups(self, key_N: Tensor, score_N: Tensor, positive_N: Tensor) -> Tensor:
        """AUC of each group."""
        return group_aucs(key_N, score_N, positive_N)
