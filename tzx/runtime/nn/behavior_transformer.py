"""A transformer over a query and the elements of a sequence.

Legend: B rows, T positions of the sequence, L of them looked at, S = L + 1 with the query, D width, H heads, E = D / H.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.jagged import valid_positions
from tzx.runtime.protos.sequence_model_pb2 import BSTTower


class TransformerLayer(nn.Module):
    """y = layernorm(x + dropout(attention(x))); layernorm(y + dropout(W_2 leaky_relu(W_1 y + b_1) + b_2)).

    Source: Chen et al. 2019, BST, section 2.2.

    Args:
        dim: D.
        config: heads, width of the feed-forward layers, dropout.
    """

    def __init__(self, dim: int, config: BSTTower) -> None:
        super().__init__()
        hidden = config.hidden_dim or 4 * dim
        self.num_heads = config.num_heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.attention_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(config.dropout_ratio)

    def forward(self, x_BSD: Tensor, valid_BS: Tensor) -> Tensor:
        """[B, S, D] to [B, S, D]; no position looks at one that is not valid."""
        q_BHSE, k_BHSE, v_BHSE = (
            linear(x_BSD).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        seen_BHSE = F.scaled_dot_product_attention(q_BHSE, k_BHSE, v_BHSE, attn_mask=valid_BS[:, None, None, :])
        y_BSD = self.attention_norm(x_BSD + self.dropout(self.output(seen_BHSE.transpose(1, 2).flatten(2))))
        return self.norm(y_BSD + self.dropout(self.feed_forward(y_BSD)))


class BehaviorTransformer(nn.Module):
    """Transformer layers over [query, elements] plus a learned vector for each position; all positions side by side.

    Source: Chen et al. 2019, BST, section 2. Positions count from the query on, where the paper has time differences.

    Args:
        query_dim: width of the query, at most D; it is padded with zeros to D.
        sequence_dim: D.
        config: L, layers, heads.
    """

    def __init__(self, query_dim: int, sequence_dim: int, config: BSTTower) -> None:
        super().__init__()
        if not 0 < query_dim <= sequence_dim:
            raise ConfigError(f"the query is {query_dim} wide but the sequence {sequence_dim}")
        for field in ("max_seq_length", "num_layers", "num_heads"):
            if getattr(config, field) < 1:
                raise ConfigError(f"{field} is {getattr(config, field)}; allowed: 1 or more")
        if sequence_dim % config.num_heads:
            raise ConfigError(
                f"num_heads is {config.num_heads}; it must divide the width of an element, {sequence_dim}"
            )
        if not 0 <= config.dropout_ratio < 1:
            raise ConfigError(f"dropout_ratio is {config.dropout_ratio:g}; it must be in [0, 1)")
        self.length, self.pad_dim = config.max_seq_length, sequence_dim - query_dim
        self.position = nn.Parameter(torch.randn(self.length + 1, sequence_dim) * sequence_dim**-0.5)
        self.layers = nn.ModuleList(TransformerLayer(sequence_dim, config) for _ in range(config.num_layers))
        self.out_dim = (self.length + 1) * sequence_dim

    def forward(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Encode the sequence: [B, (L + 1) * D], zero for positions that a row does not have."""
        query_B1D = F.pad(query_BQ, (0, self.pad_dim)).unsqueeze(1)
        # Padded before it is cut, so that L positions are there whatever T is, also in a traced graph.
        kept_BLD = F.pad(sequence_BTD, (0, 0, 0, self.length))[:, : self.length]
        x_BSD = torch.cat([query_B1D, kept_BLD], dim=1) + self.position
        positions_S = torch.arange(self.length + 1, device=x_BSD.device)
        valid_BS = valid_positions(lengths_B + 1, positions_S)
        for layer in self.layers:
            x_BSD = layer(x_BSD, valid_BS)
        return (x_BSD * valid_BS.unsqueeze(2)).flatten(1)
