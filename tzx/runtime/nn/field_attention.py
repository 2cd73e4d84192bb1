"""Self-attention over the features of a row. Legend: B rows, F features, D width, H heads, E width of a head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FieldAttention(nn.Module):
    """relu([sum over k of softmax_k(Q x_m . K x_k) V x_k, head by head] + W x_m) for every feature m.

    Source: Song et al. 2019, AutoInt, section 4.4.

    Args:
        dim: D.
        num_heads: H.
        head_dim: E.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.out_dim = num_heads * head_dim
        self.head_dim = head_dim
        self.query, self.key, self.value, self.residual = (
            nn.Linear(dim, self.out_dim, bias=False) for _ in ("query", "key", "value", "residual")
        )

    def forward(self, x_BFD: Tensor) -> Tensor:
        """[B, F, D] to [B, F, H * E]."""
        q_BHFE, k_BHFE, v_BHFE = (self._heads(linear(x_BFD)) for linear in (self.query, self.key, self.value))
        seen_BHFE = F.scaled_dot_product_attention(q_BHFE, k_BHFE, v_BHFE, scale=1.0)
        return torch.relu(seen_BHFE.transpose(1, 2).flatten(2) + self.residual(x_BFD))

    def _heads(self, x_BFA: Tensor) -> Tensor:
        return x_BFA.unflatten(2, (-1, self.head_dim)).transpose(1, 2)
