"""Metrics of groups of rows (all rows of one user, say), averaged over groups. Legend: B rows of a batch, N in all."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.keys import row_keys
from tzx.runtime.metrics.base import Metric
from tzx.runtime.metrics.sync import all_sum, route, world_size


class GroupedMetric(Metric):
    """Mean of a value of each group; NaN when no group has one, or a prediction was NaN.

    Keeps every row in host memory (13 bytes each) until `compute`, which brings the rows of a group together on
    the process `key mod world`. Reading the batch's ids waits for the accelerator.

    Args:
        grouping_key: a plain sparse feature (first id of a row counts) or a label column.
        output: the prediction [B] to rank rows by, `probs` or `probs1`.
    """

    def __init__(self, grouping_key: str, output: str) -> None:
        self.grouping_key, self.output = grouping_key, output
        self.reset()

    @abstractmethod
    def of_groups(self, key_N: Tensor, score_N: Tensor, positive_N: Tensor) -> Tensor:
        """Values of the groups that have one, float64.

        Args:
            key_N: int64 [N], the group of each row.
            score_N: float [N].
            positive_N: bool [N].
        """

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
        values = self.of_groups(key_N, score_N, positive_N)
        sum_count_nan = torch.stack([values.sum(), torch.tensor(float(len(values))), score_N.isnan().sum()]).double()
        total, count, nans = all_sum(sum_count_nan).unbind()
        return torch.where(nans > 0, torch.nan, total / count)
