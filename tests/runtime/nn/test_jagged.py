import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.nn.jagged import mean_of_sums, pad, segment_pool

LENGTHS = st.lists(st.integers(0, 4), min_size=1, max_size=6)


@given(lengths=LENGTHS, width=st.integers(0, 6))
def test_pad_places_every_element_and_zeroes_the_rest(lengths: list[int], width: int) -> None:
    values = torch.arange(1.0, 1 + 3 * sum(lengths)).view(-1, 3)
    padded = pad(values, torch.tensor(lengths, dtype=torch.int32), torch.arange(width))
    assert padded.shape == (len(lengths), width, 3)
    expected = np.zeros(padded.shape, np.float32)
    start = 0
    for row, length in enumerate(lengths):
        kept = min(length, width)
        expected[row, :kept] = values[start : start + kept].numpy()
        start += length
    np.testing.assert_array_equal(padded.numpy(), expected)


def test_pad_sends_gradients_back_to_what_it_kept() -> None:
    values = torch.ones(4, 2, requires_grad=True)
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).unsqueeze(2)
    (pad(values, torch.tensor([1, 3]), torch.arange(2)) * weights).sum().backward()
    assert values.grad is not None
    assert values.grad[:, 0].tolist() == [1, 3, 4, 0]


@pytest.mark.parametrize("pooling", ["sum", "mean"])
@given(lengths=LENGTHS, weighted=st.booleans())
def test_segment_pool_pools_each_segment(pooling: str, lengths: list[int], weighted: bool) -> None:
    rng = np.random.default_rng(sum(lengths))
    values = rng.normal(size=(sum(lengths), 2))
    weights = rng.normal(size=sum(lengths)) if weighted else np.ones(sum(lengths))
    expected, start = [], 0
    for length in lengths:
        part = slice(start, start + length)
        total = (values[part] * weights[part, None]).sum(axis=0)
        expected.append(total / max(length, 1) if pooling == "mean" else total)
        start += length
    actual = segment_pool(
        torch.from_numpy(values),
        torch.tensor(lengths, dtype=torch.int32),
        pooling,
        torch.from_numpy(weights) if weighted else None,
    )
    np.testing.assert_allclose(actual.numpy(), np.stack(expected), rtol=1e-12, atol=1e-12)


def test_single_ids_pass_unsummed() -> None:
    values = torch.randn(3, 2)
    assert segment_pool(values, torch.ones(3, dtype=torch.int32), "mean") is values
    mixed = segment_pool(values, torch.tensor([0, 2, 1], dtype=torch.int32), "sum")
    torch.testing.assert_close(mixed, torch.stack([torch.zeros(2), values[0] + values[1], values[2]]))


def test_mean_of_nothing_is_zero() -> None:
    assert mean_of_sums(torch.tensor([[0.0], [6.0]]), torch.tensor([0, 3])).tolist() == [[0.0], [2.0]]
