import numpy as np
import pytest
import torch
from torch import Tensor

from tzx.runtime.nn.interest_evolution import AttentionalGRU, InterestEvolution, _recur, _Recurrence
from tzx.runtime.protos.sequence_model_pb2 import DIENTower


def inputs(steps: int, rows: int = 3, dim: int = 4) -> tuple[Tensor, ...]:
    """What the recurrence takes, in float64 and with gradients."""
    shapes = (steps, rows, 3 * dim), (steps, rows, 1), (3 * dim, dim), (3 * dim,)
    found = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    found[1] = torch.sigmoid(found[1])
    return tuple(x.requires_grad_() for x in found)


@pytest.mark.parametrize("steps", [1, 5])
def test_gradient_of_the_recurrence_is_the_numerical_one(steps: int) -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(_Recurrence.apply, inputs(steps))


def test_gradient_of_the_recurrence_is_autograds() -> None:
    torch.manual_seed(1)
    given, direction = inputs(20), torch.randn(3, 4, dtype=torch.float64)
    expected = torch.autograd.grad(_recur(*given)[0], given, direction)
    for got, wanted in zip(torch.autograd.grad(_Recurrence.apply(*given), given, direction), expected, strict=True):
        torch.testing.assert_close(got, wanted)


def test_values_do_not_depend_on_gradients() -> None:
    layer, x, attention = AttentionalGRU(3, 4), torch.randn(5, 6, 3), torch.rand(5, 6)
    with_gradient = layer(x, attention)
    with torch.no_grad():
        assert torch.equal(layer(x, attention), with_gradient)


def test_steps_without_attention_leave_no_trace() -> None:
    layer, x, attention = AttentionalGRU(3, 4), torch.randn(5, 6, 3), torch.rand(5, 6)
    attention[:, 1::2] = 0
    torch.testing.assert_close(layer(x, attention), layer(x[:, ::2], attention[:, ::2]))


@pytest.mark.parametrize("newest_first", [True, False])
def test_order_of_time(newest_first: bool) -> None:
    encoder = InterestEvolution(2, 1, DIENTower(input="s", max_seq_length=3, newest_first=newest_first))
    sequence = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0], [0, 0, 0, 0, 0]]).float().unsqueeze(2)
    elements, valid = encoder.in_time(sequence, torch.tensor([5, 2, 0]))
    expected = [[3, 2, 1], [7, 6, 0], [0, 0, 0]] if newest_first else [[3, 4, 5], [6, 7, 0], [0, 0, 0]]
    assert elements.squeeze(2).int().tolist() == expected
    assert valid.int().tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_rows_and_batches_without_elements_give_zero() -> None:
    encoder = InterestEvolution(2, 3, DIENTower(input="s"))
    for steps in (0, 4):
        encoded = encoder(torch.randn(2, 2), torch.zeros(2, steps, 3), torch.zeros(2, dtype=torch.int32))
        assert torch.equal(encoded, torch.zeros(2, 3))


def test_auxiliary_loss() -> None:
    torch.manual_seed(0)
    encoder = InterestEvolution(2, 3, DIENTower(input="s"))
    states, elements = torch.randn(4, 5, 3), torch.randn(4, 5, 3)
    lengths = [5, 1, 0, 3]
    valid = torch.arange(5) < torch.tensor(lengths).unsqueeze(1)
    torch.manual_seed(7)
    got = encoder.auxiliary_loss(states, elements * valid.unsqueeze(2), valid).item()
    torch.manual_seed(7)
    turn, h, e = int(torch.randint(1, 9, ())), states.double().numpy(), elements.double().numpy()
    places = [(b, t) for b, n in enumerate(lengths) for t in range(n)]
    costs = []
    for at, (b, t) in enumerate(places):
        if t > 0:
            right, wrong = h[b, t - 1] @ e[b, t], h[b, t - 1] @ e[places[(at - turn) % 9]]
            costs.append(np.log1p(np.exp(-right)) + np.log1p(np.exp(wrong)))
    assert got == pytest.approx(np.mean(costs), rel=1e-5)


def test_auxiliary_loss_of_sequences_too_short_for_a_pair() -> None:
    encoder = InterestEvolution(2, 3, DIENTower(input="s"))
    for lengths in ([1, 0], [0, 0]):
        valid = torch.arange(2) < torch.tensor(lengths).unsqueeze(1)
        loss = encoder.auxiliary_loss(torch.randn(2, 2, 3, requires_grad=True), torch.zeros(2, 2, 3), valid)
        loss.backward()
        assert loss.item() == 0
