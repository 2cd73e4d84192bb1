"""Features weighed by their importance, and products of pairs of them. Legend: B rows, F features, D width, P pairs."""

import torch
from torch import Tensor, nn

from tzx.runtime.config.problems import hint
from tzx.runtime.errors import ConfigError

_TYPES = ("all", "each", "interaction")


class SqueezeExcitation(nn.Module):
    """e_f * a_f with a = relu(W_2 relu(W_1 z)), z being the mean of each feature.

    Source: Huang et al. 2019, FiBiNET, section 3.3.

    Args:
        num_features: F.
        reduction: W_1 has F / reduction rows, at least one.
    """

    def __init__(self, num_features: int, reduction: int) -> None:
        super().__init__()
        if reduction < 1:
            raise ConfigError(f"reduction_ratio is {reduction}; allowed: 1 or more")
        between = max(1, num_features // reduction)
        self.squeeze = nn.Linear(num_features, between, bias=False)
        self.excite = nn.Linear(between, num_features, bias=False)

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, F, D]."""
        weights_BF = torch.relu(self.excite(torch.relu(self.squeeze(x_BFD.mean(dim=2)))))
        return x_BFD * weights_BF.unsqueeze(2)


class BilinearInteraction(nn.Module):
    """(x_i W) * x_j for every pair i < j; W is one of all pairs, of feature i, or of the pair.

    Source: Huang et al. 2019, FiBiNET, section 3.4.

    Args:
        num_features: F.
        dim: D.
        kind: "all", "each" or "interaction".
    """

    first: Tensor
    second: Tensor

    def __init__(self, num_features: int, dim: int, kind: str) -> None:
        super().__init__()
        if kind not in _TYPES:
            raise ConfigError(f"bilinear_type is {kind!r}; allowed: {', '.join(_TYPES)}{hint(kind, _TYPES)}")
        first, second = torch.triu_indices(num_features, num_features, offset=1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.kind = kind
        number = {"all": 1, "each": num_features, "interaction": len(first)}[kind]
        self.weight = nn.Parameter(torch.empty(number, dim, dim))
        nn.init.normal_(self.weight, std=dim**-0.5)  # Glorot, of each square matrix
        self.out_dim: int = len(first) * dim

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, P * D]."""
        left_BPD = x_BFD.index_select(1, self.first)
        if self.kind == "interaction":
            left_BPD = torch.einsum("bpd,pde->bpe", left_BPD, self.weight)
        elif self.kind == "each":
            left_BPD = torch.einsum("bfd,fde->bfe", x_BFD, self.weight).index_select(1, self.first)
        else:
            left_BPD = left_BPD @ self.weight[0]
        return (left_BPD * x_BFD.index_select(1, self.second)).flatten(1)
