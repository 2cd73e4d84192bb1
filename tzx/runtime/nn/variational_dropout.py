"""Dropout of whole features whose rates are learned: features that the model can do without are dropped more.

Legend: B rows, F features, D width of all of them together, P rates (F, or D when each dimension has its own).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import module_pb2

TEMPERATURE = 0.1


class VariationalDropout(nn.Module):
    """Concrete dropout per feature; in evaluation features are scaled by the share that is kept.

    keep = 1 - sigmoid((logit p + logit u) / 0.1), u uniform in (0, 1) for each row and feature. `penalty` pulls the
    rates p towards 1.

    Source: Ma et al. 2021, Towards a Better Tradeoff between Effectiveness and Efficiency in Pre-Ranking, section 3.2.

    Args:
        dims: width of each feature, in the order in which they lie side by side.
        config: weight of the penalty, and whether each dimension has a rate of its own.
    """

    owner: Tensor

    def __init__(self, dims: Mapping[str, int], config: module_pb2.VariationalDropout) -> None:
        super().__init__()
        if config.regularization_lambda < 0:
            raise ConfigError(f"regularization_lambda is {config.regularization_lambda:g}; it must not be negative")
        self.dims, self.weight = dict(dims), config.regularization_lambda
        widths = torch.tensor(list(dims.values()))
        by_dim = config.embedding_wise_variational_dropout
        owner_D = torch.arange(int(widths.sum())) if by_dim else torch.arange(len(dims)).repeat_interleave(widths)
        self.register_buffer("owner", owner_D, persistent=False)
        self.logit = nn.Parameter(torch.zeros(int(owner_D[-1]) + 1))  # every rate starts at 1/2

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to [B, D]."""
        if not self.training:
            return x_BD * torch.sigmoid(-self.logit).index_select(0, self.owner)
        noise_BP = torch.rand(x_BD.shape[0], self.logit.shape[0], device=x_BD.device)
        keep_BP = torch.sigmoid(-(self.logit + torch.logit(noise_BP, eps=1e-6)) / TEMPERATURE)
        return x_BD * keep_BP.index_select(1, self.owner)

    def penalty(self, rows: int) -> Tensor:
        """lambda / B times the sum of 1 - p, a scalar.

        Args:
            rows: B.
        """
        return self.weight / rows * torch.sigmoid(-self.logit).sum()

    def rates(self) -> dict[str, float]:
        """Dropout rate of each feature, averaged over its dimensions where each has its own."""
        rate_D = torch.sigmoid(self.logit.detach()).index_select(0, self.owner)
        parts = rate_D.split(list(self.dims.values()))
        return {name: part.mean().item() for name, part in zip(self.dims, parts, strict=True)}
