"""Gates that personalise a network.

Legend: B rows, D input width, H gate width, U prior width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tzx.runtime.nn.activation import make_activation


class GateNU(nn.Module):
    """gamma * sigmoid(Linear(relu(Linear(x)))).

    Source: Chang et al. 2023, PEPNet, section 3.2.

    Args:
        in_dim: D.
        hidden_dim: width between both layers.
        out_dim: H.
        gamma: upper bound of the gate.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, gamma: float) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(in_dim, hidden_dim), nn.Linear(hidden_dim, out_dim)
        self.gamma = gamma

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to [B, H] in (0, gamma)."""
        return self.gamma * torch.sigmoid(self.output(torch.relu(self.hidden(x_BD))))


class GatedLayer(nn.Module):
    """dropout(activation(Linear(x)) * gate(prior)), the gate being as wide as the layer.

    Source: Chang et al. 2023, PEPNet, section 3.4.

    Args:
        dims: D, U and the width of the layer.
        gamma: upper bound of the gate.
        activation: as in MLP.
        dropout: share dropped in training.
    """

    def __init__(self, dims: Sequence[int], gamma: float, activation: str, dropout: float) -> None:
        super().__init__()
        in_dim, prior_dim, out_dim = dims
        self.linear = nn.Linear(in_dim, out_dim)
        self.activation = make_activation(activation, out_dim) or nn.Identity()
        self.gate = GateNU(prior_dim, out_dim, out_dim, gamma)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BD: Tensor, prior_BU: Tensor) -> Tensor:
        """[B, D] and [B, U] to [B, width]."""
        return self.dropout(self.activation(self.linear(x_BD)) * self.gate(prior_BU))
