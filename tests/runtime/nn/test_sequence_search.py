import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.nn.sequence_search import _NEVER, HardSearch, SoftSearch
from tzx.runtime.protos.sequence_model_pb2 import SIMTower


@settings(max_examples=30, deadline=None)
@given(
    categories=st.lists(st.lists(st.integers(0, 3), max_size=7), min_size=1, max_size=5),
    wanted=st.integers(0, 3),
    top_k=st.integers(1, 8),
)
def test_hard_search_finds_the_first_of_the_category(categories: list[list[int]], wanted: int, top_k: int) -> None:
    """Category 0 stands for none. With keys of zero all that is found weighs the same: the mean of what was found."""
    encoder = HardSearch(2, 3, SIMTower(input="s", top_k=top_k, num_heads=1), (slice(1, 2), slice(0, 1)))
    torch.nn.init.zeros_(encoder.key.weight)
    steps = max(len(row) for row in categories)
    sequence = torch.zeros(len(categories), steps, 3)
    for b, row in enumerate(categories):
        for t, category in enumerate(row):
            sequence[b, t] = torch.tensor([category, t + 1.0, 9.0])
    query = torch.tensor([[5.0, wanted]]).expand(len(categories), 2)
    got = encoder(query, sequence, torch.tensor([len(row) for row in categories]))
    for b, row in enumerate(categories):
        at = [t for t, category in enumerate(row) if category == wanted != 0][:top_k]
        expected = sequence[b, at].mean(dim=0) if at else torch.zeros(3)
        torch.testing.assert_close(got[b], expected)


def test_a_soft_search_of_everything_is_attention_over_everything() -> None:
    torch.manual_seed(0)
    query, sequence, lengths = torch.randn(6, 2), torch.randn(6, 5, 3), torch.tensor([5, 5, 5, 5, 5, 5])
    few, many = (SoftSearch(2, 3, SIMTower(input="s", top_k=k)) for k in (2, 50))
    few.load_state_dict(many.state_dict())
    scores = (many.key(sequence).unflatten(2, (4, -1)) * many.query(query).unflatten(1, (4, -1)).unsqueeze(1)).sum(3)
    expected = torch.einsum("bth,btd->bhd", torch.softmax(scores, dim=1), sequence).flatten(1)
    torch.testing.assert_close(many(query, sequence, lengths), expected)
    assert not torch.allclose(few(query, sequence, lengths), expected)


def test_choosing_has_no_gradient_but_the_search_has_one() -> None:
    encoder = SoftSearch(2, 3, SIMTower(input="s", top_k=2))
    query, sequence, lengths = torch.randn(6, 2), torch.randn(6, 5, 3), torch.tensor([5, 4, 3, 2, 1, 0])
    encoder(query, sequence, lengths).sum().backward()
    assert encoder.search_key.weight.grad is None and encoder.key.weight.grad.abs().sum() > 0
    encoder.pooled(query, sequence, lengths).sum().backward()
    assert encoder.search_key.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_the_search_learns_from_attention_over_the_real_elements() -> None:
    torch.manual_seed(0)
    encoder = SoftSearch(2, 3, SIMTower(input="s"))
    query, sequence, lengths = torch.randn(3, 2), torch.randn(3, 5, 3), torch.tensor([5, 2, 0])
    sequence = sequence * (torch.arange(5) < lengths[:, None]).unsqueeze(2)
    got = encoder.pooled(query, sequence, lengths)
    scores = torch.einsum("bd,btd->bt", encoder.search_query(query), encoder.search_key(sequence))
    for b, length in enumerate(lengths.tolist()):
        found = torch.softmax(scores[b, :length], dim=0) @ sequence[b, :length]
        torch.testing.assert_close(got[b], torch.cat([query[b], found]))


@pytest.mark.parametrize("steps", [0, 3])
def test_nothing_to_search(steps: int) -> None:
    encoder = SoftSearch(2, 3, SIMTower(input="s", top_k=2))
    encoded = encoder(torch.randn(4, 2), torch.zeros(4, steps, 3), torch.zeros(4, dtype=torch.int32))
    assert torch.equal(encoded, torch.zeros(4, 12))


def test_a_missing_category_matches_nothing() -> None:
    encoder = HardSearch(1, 2, SIMTower(input="s"), (slice(0, 1), slice(0, 1)))
    assert (encoder.scores(torch.zeros(2, 1), torch.zeros(2, 3, 2)) == _NEVER).all()
