"""Encoders of a padded sequence, mostly by attention of a query over it.

Every encoder takes (query_BQ, sequence_BTD, lengths_B), where positions beyond a row's length are zero, and returns
[B, out_dim]. Rows of length 0 give 0, and no gradient is NaN.
Legend: B rows, T positions, D sequence width, Q query width, W windows, A attention width.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.jagged import valid_positions
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2
from tzx.runtime.protos.seq_encoder_pb2 import SeqEncoderConfig

# What masked scores become: far below any real score, yet finite, so that a row without elements stays a number.
_MASKED = float(-(2**31) + 1)


class SequenceEncoder(nn.Module):
    """Base of the encoders; `max_seq_length` > 0 leaves later positions out."""

    out_dim: int

    def __init__(self, max_seq_length: int = 0) -> None:
        super().__init__()
        self.max_seq_length = max_seq_length

    def truncate(self, sequence_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first `max_seq_length` positions: sequence [B, T', D], lengths [B], valid positions [B, T']."""
        if self.max_seq_length > 0:
            lengths_B = lengths_B.clamp(max=self.max_seq_length)
            # Slicing only saves work, as masks hide the rest anyway, and would pin T in a traced graph.
            if not torch.compiler.is_compiling():
                sequence_BTD = sequence_BTD[:, : self.max_seq_length]
        positions_T = torch.arange(sequence_BTD.shape[1], device=sequence_BTD.device)
        return sequence_BTD, lengths_B, valid_positions(lengths_B, positions_T)


class DIN(SequenceEncoder):
    """Deep interest network: a small network scores each element against the query; softmax of scores weighs them.

    Source: Zhou et al., Deep Interest Network for Click-Through Rate Prediction, section 4.3; softmax added.

    Args:
        query_dim: Q, at most D; the query is padded with zeros to D.
        sequence_dim: D, also the output width.
        attn_mlp: layers that score [query, key, query - key, query * key]; a Linear to 1 follows.
        max_seq_length: longest part of the sequence looked at, 0 for all.
    """

    def __init__(self, query_dim: int, sequence_dim: int, attn_mlp: module_pb2.MLP, max_seq_length: int = 0) -> None:
        super().__init__(max_seq_length)
        if not 0 < query_dim <= sequence_dim:
            raise ConfigError(
                f"din: the query is {query_dim} wide but the sequence {sequence_dim}; the query must have features "
                f"and not be wider than the sequence"
            )
        self.pad_dim = sequence_dim - query_dim
        self.mlp = MLP(4 * sequence_dim, attn_mlp)
        self.linear = nn.Linear(self.mlp.out_dim, 1)
        self.out_dim = sequence_dim

    def forward(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Attend to the sequence: [B, D]."""
        key_BTD, _, valid_BT = self.truncate(sequence_BTD, lengths_B)
        query_BD = F.pad(query_BQ, (0, self.pad_dim))
        query, key, difference, product = _first_linear(self.mlp, self.linear).weight.chunk(4, dim=1)
        score_BT = _score(self.mlp, self.linear, (query_BD, key_BTD), (query + difference, key - difference, product))
        return attend(score_BT, valid_BT, key_BTD)


class SimpleAttention(SequenceEncoder):
    """Softmax of dot products with the query weighs the elements.

    Args:
        query_dim: Q, must equal D.
        sequence_dim: D, also the output width.
        max_seq_length: longest part of the sequence looked at, 0 for all.
    """

    def __init__(self, query_dim: int, sequence_dim: int, max_seq_length: int = 0) -> None:
        super().__init__(max_seq_length)
        _require_equal("simple_attention", query_dim, sequence_dim)
        self.out_dim = sequence_dim

    def forward(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Attend to the sequence: [B, D]."""
        key_BTD, _, valid_BT = self.truncate(sequence_BTD, lengths_B)
        score_BT = torch.bmm(key_BTD, query_BQ.unsqueeze(2)).squeeze(2)
        return attend(score_BT, valid_BT, key_BTD)


class Pooling(SequenceEncoder):
    """Sum or mean of the elements; takes no notice of the query.

    Args:
        sequence_dim: D, also the output width.
        pooling: "sum" or "mean".
        max_seq_length: longest part of the sequence looked at, 0 for all.
    """

    def __init__(self, sequence_dim: int, pooling: str = "mean", max_seq_length: int = 0) -> None:
        super().__init__(max_seq_length)
        if pooling not in ("sum", "mean"):
            raise ConfigError(f"pooling_encoder: pooling_type {pooling!r} is neither sum nor mean")
        self.pooling = pooling
        self.out_dim = sequence_dim

    def forward(self, query_BQ: Tensor | None, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Pool the sequence: [B, D]."""
        sequence_BTD, lengths_B, valid_BT = self.truncate(sequence_BTD, lengths_B)
        sum_BD = (sequence_BTD * valid_BT.unsqueeze(2)).sum(dim=1)
        return sum_BD / lengths_B.clamp(min=1).unsqueeze(1) if self.pooling == "mean" else sum_BD


class SelfAttention(SequenceEncoder):
    """Multi-head attention of the sequence over itself, then the mean over its length before truncation.

    Args:
        sequence_dim: D.
        attn_dim: A, a multiple of `num_heads`, also the output width.
        num_heads: attention heads.
        dropout: share of attention weights dropped in training.
        max_seq_length: longest part of the sequence looked at, 0 for all.
    """

    def __init__(
        self, sequence_dim: int, attn_dim: int = 512, num_heads: int = 8, dropout: float = 0, max_seq_length: int = 0
    ) -> None:
        super().__init__(max_seq_length)
        if num_heads <= 0 or attn_dim <= 0 or attn_dim % num_heads:
            raise ConfigError(
                f"self_attention_encoder: multihead_attn_dim {attn_dim} is not a multiple of num_heads {num_heads}"
            )
        self.query = nn.Linear(sequence_dim, attn_dim)
        self.key = nn.Linear(sequence_dim, attn_dim)
        self.value = nn.Linear(sequence_dim, attn_dim)
        self.attention = nn.MultiheadAttention(attn_dim, num_heads, dropout=dropout, batch_first=True)
        self.out_dim = attn_dim

    def forward(self, query_BQ: Tensor | None, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Encode the sequence: [B, A]."""
        # One more position, always masked, because attention over none at all is not defined.
        x_BTD, _, valid_BT = self.truncate(F.pad(sequence_BTD, (0, 0, 0, 1)), lengths_B)
        # A row without elements may look everywhere: its softmax stays finite and its output is dropped below.
        hidden_BT = ~valid_BT & valid_BT.any(dim=1, keepdim=True)
        out_BTA = self._attend(self.query(x_BTD), self.key(x_BTD), self.value(x_BTD), hidden_BT)
        sum_BA = (out_BTA * valid_BT.unsqueeze(2)).sum(dim=1)
        return sum_BA / lengths_B.clamp(min=1).unsqueeze(1)

    def _attend(self, query_BTA: Tensor, key_BTA: Tensor, value_BTA: Tensor, hidden_BT: Tensor) -> Tensor:
        # What self.attention's own forward computes; that one transposes in ways that pin B in a traced graph.
        mha = self.attention
        weights, biases = mha.in_proj_weight.chunk(3), mha.in_proj_bias.chunk(3)
        q_BHTE, k_BHTE, v_BHTE = (
            F.linear(x, w, b).unflatten(2, (mha.num_heads, mha.head_dim)).transpose(1, 2)
            for x, w, b in zip((query_BTA, key_BTA, value_BTA), weights, biases, strict=True)
        )
        dropout = mha.dropout if self.training else 0.0
        out_BHTE = F.scaled_dot_product_attention(
            q_BHTE, k_BHTE, v_BHTE, attn_mask=~hidden_BT[:, None, None, :], dropout_p=dropout
        )
        return mha.out_proj(out_BHTE.transpose(1, 2).flatten(2))


class MultiWindowDIN(SequenceEncoder):
    """Elements scored against the query, then averaged over consecutive windows; the query is appended.

    Source: Zhu et al., Learning Tree-based Deep Model for Recommender Systems, section 3.3.

    Args:
        query_dim: Q, must equal D.
        sequence_dim: D.
        attn_mlp: layers that score [key, query * key, query]; a Linear to 1 and a PReLU follow.
        windows_len: lengths of the W windows, newest elements first; what lies beyond them is left out.
    """

    window_start: Tensor
    window_len: Tensor

    def __init__(self, query_dim: int, sequence_dim: int, attn_mlp: module_pb2.MLP, windows_len: Sequence[int]) -> None:
        super().__init__()
        _require_equal("multi_window_din_encoder", query_dim, sequence_dim)
        if not windows_len or min(windows_len) <= 0:
            raise ConfigError(f"multi_window_din_encoder: windows_len {list(windows_len)} must hold positive lengths")
        lengths_W = torch.tensor(list(windows_len))
        self.register_buffer("window_len", lengths_W, persistent=False)
        self.register_buffer("window_start", lengths_W.cumsum(0) - lengths_W, persistent=False)
        self.mlp = MLP(3 * sequence_dim, attn_mlp)
        self.linear = nn.Linear(self.mlp.out_dim, 1)
        self.activation = nn.PReLU()
        self.out_dim = sequence_dim * (len(windows_len) + 1)

    def forward(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Encode the sequence: [B, (W + 1) * D]."""
        key_BTD, _, valid_BT = self.truncate(sequence_BTD, lengths_B)
        key, product, query = _first_linear(self.mlp, self.linear).weight.chunk(3, dim=1)
        score_BT = _score(self.mlp, self.linear, (query_BQ, key_BTD), (query, key, product))
        score_BT = self.activation(score_BT) * valid_BT
        weighted_BTD = score_BT.unsqueeze(2) * key_BTD
        from_start_WT = torch.arange(key_BTD.shape[1], device=key_BTD.device) - self.window_start.unsqueeze(1)
        in_window_WT = (from_start_WT >= 0) & (from_start_WT < self.window_len.unsqueeze(1))
        sum_BWD = torch.bmm(in_window_WT.to(weighted_BTD.dtype).expand(query_BQ.shape[0], -1, -1), weighted_BTD)
        filled_BW = (lengths_B.unsqueeze(1) - self.window_start).clamp(min=1).minimum(self.window_len)
        return torch.cat([(sum_BWD / filled_BW.unsqueeze(2)).flatten(1), query_BQ], dim=1)


def make_encoder(config: SeqEncoderConfig, query_dim: int, sequence_dim: int) -> SequenceEncoder:
    """Build the encoder that `config` describes for a query and a sequence of these widths."""
    kind = config.WhichOneof("seq_module")
    if kind is None:
        raise ConfigError("sequence_encoders: an entry without an encoder")
    chosen = getattr(config, kind)
    if kind == "din_encoder":
        return DIN(query_dim, sequence_dim, chosen.attn_mlp, chosen.max_seq_length)
    if kind == "simple_attention":
        return SimpleAttention(query_dim, sequence_dim, chosen.max_seq_length)
    if kind == "pooling_encoder":
        return Pooling(sequence_dim, chosen.pooling_type, chosen.max_seq_length)
    if kind == "self_attention_encoder":
        return SelfAttention(
            sequence_dim, chosen.multihead_attn_dim, chosen.num_heads, chosen.dropout, chosen.max_seq_length
        )
    return MultiWindowDIN(query_dim, sequence_dim, chosen.attn_mlp, chosen.windows_len)


def _first_linear(mlp: MLP, last: nn.Linear) -> nn.Linear:
    """The first Linear of the layers followed by `last`."""
    return cast(nn.Linear, cast(nn.Sequential, mlp.layers[0])[0]) if len(mlp.layers) else last


def _score(mlp: MLP, last: nn.Linear, pair: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Scores [B, T] of elements by the layers and `last`.

    The first layer is linear in query, key and their product, so each has its part of the weights, the query's once
    for a row: a tensor of all of them side by side, for every element, would cost more than the layer itself.

    Args:
        mlp: the layers.
        last: what follows them.
        pair: query [B, D] and keys [B, T, D].
        weights: of query, key and product, [first width, D] each.
    """
    (query_BD, key_BTD), (of_query, of_key, of_product) = pair, weights
    hidden_BTH = F.linear(key_BTD, of_key) + F.linear(query_BD.unsqueeze(1) * key_BTD, of_product)
    hidden_BTH = hidden_BTH + F.linear(query_BD, of_query, _first_linear(mlp, last).bias).unsqueeze(1)
    return (last(mlp.after_linear(hidden_BTH)) if len(mlp.layers) else hidden_BTH).squeeze(-1)


def attend(score_BT: Tensor, valid_BT: Tensor, key_BTD: Tensor) -> Tensor:
    """Sum of the valid elements by the softmax of their scores, [B, D]; 0 where there are none."""
    masked_BT = torch.where(valid_BT, score_BT.float(), _MASKED)
    weight_BT = torch.softmax(masked_BT, dim=1) * valid_BT
    return torch.bmm(weight_BT.unsqueeze(1).to(key_BTD.dtype), key_BTD).squeeze(1)


def _require_equal(name: str, query_dim: int, sequence_dim: int) -> None:
    if query_dim != sequence_dim:
        raise ConfigError(f"{name}: the query is {query_dim} wide but the sequence {sequence_dim}; they must be equal")
