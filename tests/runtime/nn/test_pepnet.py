import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.pepnet import GatedLayer, GateNU


def test_a_gate_without_weights_scales_by_half_of_gamma() -> None:
    gate = GateNU(3, 4, 5, gamma=2.0)
    for parameter in gate.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(gate(torch.randn(2, 3)), torch.ones(2, 5))


def test_a_gate_stays_below_gamma() -> None:
    gate = GateNU(3, 4, 5, gamma=3.0)
    out = gate(1000 * torch.randn(200, 3))
    assert out.min() >= 0 and 2.5 < out.max() <= 3


def test_a_layer_is_scaled_after_its_activation_and_dropped_after_the_gate() -> None:
    layer = GatedLayer((4, 3, 6), 2.0, "nn.Tanh", 0.5).eval()
    x, prior = torch.randn(5, 4), torch.randn(5, 3)
    torch.testing.assert_close(layer(x, prior), torch.tanh(layer.linear(x)) * layer.gate(prior))
    assert (layer.train()(x, prior) == 0).any()


def test_activations_are_those_of_mlps() -> None:
    plain = GatedLayer((4, 3, 6), 2.0, "", 0.0)
    x, prior = torch.randn(5, 4), torch.randn(5, 3)
    torch.testing.assert_close(plain(x, prior), plain.linear(x) * plain.gate(prior))
    with pytest.raises(ConfigError, match=r"unknown activation 'nn\.Tan'"):
        GatedLayer((4, 3, 6), 2.0, "nn.Tan", 0.0)
