"""Every encoder against a slow float64 reading of its formula."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.sequence_encoders import (
    DIN,
    MultiWindowDIN,
    Pooling,
    SelfAttention,
    SequenceEncoder,
    SimpleAttention,
    make_encoder,
)
from tzx.runtime.protos.module_pb2 import MLP
from tzx.runtime.protos.seq_encoder_pb2 import SeqEncoderConfig

ATTN = MLP(hidden_units=[6, 3], activation="nn.Sigmoid")
D = 4


def array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().double().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ array(layer.weight).T + array(layer.bias)


def score(encoder: Any, x: np.ndarray) -> float:
    for layer in encoder.mlp.layers:
        x = 1 / (1 + np.exp(-linear(layer[0], x)))
    return float(linear(encoder.linear, x)[0])


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def din(encoder: DIN, query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    keys = keys[: encoder.max_seq_length or None]
    if not len(keys):
        return np.zeros(D)
    q = np.concatenate([query, np.zeros(D - len(query))])
    scores = np.array([score(encoder, np.concatenate([q, k, q - k, q * k])) for k in keys])
    return softmax(scores) @ keys


def simple_attention(encoder: SimpleAttention, query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    keys = keys[: encoder.max_seq_length or None]
    return softmax(keys @ query) @ keys if len(keys) else np.zeros(D)


def pooling(encoder: Pooling, query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    keys = keys[: encoder.max_seq_length or None]
    total = keys.sum(axis=0) if len(keys) else np.zeros(D)
    return total / max(len(keys), 1) if encoder.pooling == "mean" else total


def self_attention(encoder: SelfAttention, query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    full_length = len(keys)
    keys = keys[: encoder.max_seq_length or None]
    mha = encoder.attention
    width = mha.embed_dim // mha.num_heads
    q, k, v = (
        linear(layer, keys) @ w.T + b
        for layer, w, b in zip(
            (encoder.query, encoder.key, encoder.value),
            np.split(array(mha.in_proj_weight), 3),
            np.split(array(mha.in_proj_bias), 3),
            strict=True,
        )
    )
    if not len(keys):
        return np.zeros(mha.embed_dim)
    heads = []
    for h in range(mha.num_heads):
        part = slice(h * width, (h + 1) * width)
        heads.append(softmax(q[:, part] @ k[:, part].T / np.sqrt(width)) @ v[:, part])
    return linear(mha.out_proj, np.concatenate(heads, axis=1)).sum(axis=0) / max(full_length, 1)


def multi_window_din(encoder: MultiWindowDIN, query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    alpha = encoder.activation.weight.item()
    scores = [score(encoder, np.concatenate([k, query * k, query])) for k in keys]
    weighted = [(s if s > 0 else alpha * s) * k for s, k in zip(scores, keys, strict=True)]
    parts, start = [], 0
    for length in encoder.window_len.tolist():
        window = weighted[start : start + length]
        parts.append(sum(window, np.zeros(D)) / min(max(len(keys) - start, 1), length))
        start += length
    return np.concatenate([*parts, query])


Oracle = Callable[[Any, np.ndarray, np.ndarray], np.ndarray]
CASES: dict[str, tuple[Callable[[], SequenceEncoder], int, Oracle]] = {
    "din": (lambda: DIN(D, D, ATTN), D, din),
    "din narrow query": (lambda: DIN(2, D, ATTN), 2, din),
    "din truncated": (lambda: DIN(D, D, ATTN, 2), D, din),
    "simple": (lambda: SimpleAttention(D, D), D, simple_attention),
    "simple truncated": (lambda: SimpleAttention(D, D, 3), D, simple_attention),
    "mean": (lambda: Pooling(D, "mean"), D, pooling),
    "sum": (lambda: Pooling(D, "sum"), D, pooling),
    "mean truncated": (lambda: Pooling(D, "mean", 2), D, pooling),
    "self": (lambda: SelfAttention(D, 6, 2), D, self_attention),
    "self truncated": (lambda: SelfAttention(D, 6, 3, max_seq_length=2), D, self_attention),
    "windows": (lambda: MultiWindowDIN(D, D, ATTN, [1, 2, 3]), D, multi_window_din),
    "one window": (lambda: MultiWindowDIN(D, D, ATTN, [2]), D, multi_window_din),
}


def make_inputs(lengths: list[int], query_dim: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sequence = torch.randn(len(lengths), max(lengths), D, generator=generator)
    for row, length in enumerate(lengths):
        sequence[row, length:] = 0
    return torch.randn(len(lengths), query_dim, generator=generator), sequence, torch.tensor(lengths)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_encoder_follows_its_formula(name: str, lengths: list[int], seed: int) -> None:
    make, query_dim, oracle = CASES[name]
    torch.manual_seed(seed)
    encoder = make().eval()
    if isinstance(encoder, SelfAttention):
        nn.init.normal_(encoder.attention.in_proj_bias)
        nn.init.normal_(encoder.attention.out_proj.bias)
    query, sequence, length = make_inputs(lengths, query_dim, seed)
    actual = encoder(query, sequence, length).detach().numpy()
    expected = [
        oracle(encoder, query[i].double().numpy(), sequence[i, :n].double().numpy()) for i, n in enumerate(lengths)
    ]
    assert actual.shape == (len(lengths), encoder.out_dim)
    np.testing.assert_allclose(actual, np.stack(expected), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lengths", [[0, 0], [0, 3], [1, 0, 5]])
def test_gradients_are_finite_and_empty_rows_get_none(name: str, lengths: list[int]) -> None:
    make, query_dim, _ = CASES[name]
    torch.manual_seed(0)
    encoder = make().train()
    query, sequence, length = make_inputs(lengths, query_dim, 0)
    sequence.requires_grad_()
    out = encoder(query, sequence, length)
    history = out[:, :-D] if isinstance(encoder, MultiWindowDIN) else out
    for row, n in enumerate(lengths):
        if n == 0:
            assert history[row].abs().max() == 0
    out.square().sum().backward()
    gradients = [p.grad for p in [sequence, *encoder.parameters()] if p.grad is not None and p.numel()]
    assert all(torch.isfinite(g).all() for g in gradients)
    if sequence.numel():
        for row, n in enumerate(lengths):
            assert sequence.grad is not None
            assert (sequence.grad[row, n:] == 0).all()


def test_what_lies_beyond_a_row_does_not_matter() -> None:
    for make, query_dim, _ in CASES.values():
        encoder = make().eval()
        query, sequence, length = make_inputs([2, 0, 4], query_dim, 3)
        longer = torch.cat([sequence, torch.zeros(3, 5, D)], dim=1)
        torch.testing.assert_close(encoder(query, sequence, length), encoder(query, longer, length))


def test_encoders_are_made_from_their_configs() -> None:
    def make(text: str, query_dim: int = D) -> SequenceEncoder:
        return make_encoder(text_format.Parse(text, SeqEncoderConfig()), query_dim, D)

    made = make('din_encoder { input: "s" attn_mlp { hidden_units: 8 } max_seq_length: 5 }')
    assert isinstance(made, DIN)
    assert (made.max_seq_length, made.out_dim) == (5, D)
    assert isinstance(make('simple_attention { input: "s" }'), SimpleAttention)
    pool = make('pooling_encoder { input: "s" }', 0)
    assert isinstance(pool, Pooling)
    assert pool.pooling == "mean"
    attention = make('self_attention_encoder { input: "s" num_heads: 4 multihead_attn_dim: 8 dropout: 0.5 }', 0)
    assert isinstance(attention, SelfAttention)
    assert (attention.out_dim, attention.attention.num_heads, attention.attention.dropout) == (8, 4, 0.5)
    windows = make('multi_window_din_encoder { input: "s" attn_mlp { hidden_units: 8 } windows_len: [1, 4] }')
    assert isinstance(windows, MultiWindowDIN)
    assert windows.out_dim == 3 * D


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DIN(5, 4, ATTN), "5 wide but the sequence 4"),
        (lambda: DIN(0, 4, ATTN), "0 wide"),
        (lambda: SimpleAttention(2, 4), "must be equal"),
        (lambda: MultiWindowDIN(2, 4, ATTN, [1]), "must be equal"),
        (lambda: MultiWindowDIN(4, 4, ATTN, []), "windows_len"),
        (lambda: Pooling(4, "max"), "'max' is neither"),
        (lambda: SelfAttention(4, 10, 4), "not a multiple of num_heads 4"),
        (lambda: make_encoder(SeqEncoderConfig(), 4, 4), "without an encoder"),
    ],
)
def test_what_does_not_fit_is_a_config_error(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
