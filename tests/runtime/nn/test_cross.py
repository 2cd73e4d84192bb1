import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.cross import GatedCross, LowRankCross, VectorCross
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
    cross = LowRankCross(6, CrossV2(cross_num=2, low_rank=3))
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


@pytest.mark.parametrize("config", [CrossV2(cross_num=0), CrossV2(low_rank=0)])
def test_nothing_to_cross(config: CrossV2) -> None:
    with pytest.raises(ConfigError, match=r"cross: \w+ is 0; allowed: 1 or more"):
        LowRankCross(4, config)
