import pytest
import torch
from torch import Tensor

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.cross import GatedCross, MatrixCross, VectorCross
from tzx.runtime.nn.cross_layers import CrossLayers
from tzx.runtime.protos.module_pb2 import Cross, CrossV2


def test_a_fresh_vector_cross_has_no_bias_and_glorot_weights() -> None:
    torch.manual_seed(0)
    cross = VectorCross(999, Cross(cross_num=5))
    assert not cross.bias.any()
    assert cross.weight.std().item() == pytest.approx((2 / 1000) ** 0.5, rel=0.05)


def test_each_layer_raises_the_degree_by_one() -> None:
    cross = VectorCross(1, Cross(cross_num=3))
    with torch.no_grad():
        cross.weight.fill_(1)
    x = torch.tensor([[2.0], [-3.0]])
    torch.testing.assert_close(cross(x), x * (1 + x) ** 3)


def test_low_rank_layers_have_their_own_weights() -> None:
    cross = MatrixCross(6, CrossV2(cross_num=2, low_rank=3))
    assert [tuple(p.shape) for p in cross.parameters()] == [(3, 6), (3, 6), (6, 3), (6,), (6, 3), (6,)]
    for up in cross.up:
        torch.nn.init.zeros_(up.weight)  # type: ignore[arg-type]
        torch.nn.init.ones_(up.bias)  # type: ignore[arg-type]
    x = torch.randn(4, 6)
    torch.testing.assert_close(cross(x), 3 * x)


def test_a_gate_that_is_half_open_halves_the_cross() -> None:
    cross = GatedCross(6, Cross(cross_num=2))
    for linear in (*cross.crosses, *cross.gates):
        torch.nn.init.zeros_(linear.weight)  # type: ignore[arg-type]
    for linear in cross.crosses:
        torch.nn.init.ones_(linear.bias)  # type: ignore[arg-type]
    x = torch.randn(4, 6)
    torch.testing.assert_close(cross(x), 2 * x)


def test_without_a_low_rank_a_layer_has_one_square_matrix() -> None:
    cross = MatrixCross(6, CrossV2(cross_num=2, low_rank=0))
    assert [tuple(p.shape) for p in cross.parameters()] == [(6, 6), (6,), (6, 6), (6,)]


def _outputs(cross: MatrixCross, x: Tensor, upstream: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = cross(x)
    y.backward(upstream)
    return [y.detach(), *(t.grad for t in (x, *cross.parameters()) if t.grad is not None)]


@pytest.mark.parametrize("low_rank", [0, 5, 40])
@pytest.mark.parametrize("rows", [2, 4096, 0])
def test_values_and_gradients_are_those_of_float64(low_rank: int, rows: int) -> None:
    torch.manual_seed(1)
    config = CrossV2(cross_num=3, low_rank=low_rank)
    cross, x, upstream = MatrixCross(29, config), torch.randn(rows, 29), torch.randn(rows, 29)
    exact = MatrixCross(29, config).double()
    exact.load_state_dict(cross.state_dict())
    found, expected = _outputs(cross, x, upstream), _outputs(exact, x.double(), upstream.double())
    assert len(found) == len(expected) == 2 + 3 * (3 if low_rank else 2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-3)


def test_large_batches_train_with_gradients_of_the_cross_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(CrossLayers, "apply", lambda x, *rest: calls.append(x.shape) or x)
    cross = MatrixCross(128, CrossV2())
    cross(torch.randn(4, 128))
    assert not calls
    cross(torch.randn(4096, 128))
    assert calls == [(4096, 128)]


def test_nothing_to_cross() -> None:
    with pytest.raises(ConfigError, match=r"cross: cross_num is 0; allowed: 1 or more"):
        MatrixCross(4, CrossV2(cross_num=0))
