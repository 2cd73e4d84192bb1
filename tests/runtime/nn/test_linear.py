"""Values and gradients of the linear layer are those of float64 matrix products, by whichever library."""

import pytest
import torch
from torch import nn

from tzx.runtime.nn import linear
from tzx.runtime.nn.linear import Linear


def _outputs(layer: nn.Linear, x: torch.Tensor, upstream: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(upstream)
    found = [y, x.grad, *(p.grad for p in layer.parameters())]
    return [t.detach() for t in found if t is not None]


@pytest.mark.parametrize("rows", [(2,), (4096,), (64, 70), (0,)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("width", "units"), [(27, 13), (13, 27)])
def test_values_and_gradients_are_those_of_float64(rows: tuple[int, ...], bias: bool, width: int, units: int) -> None:
    torch.manual_seed(1)
    layer, x, upstream = Linear(width, units, bias=bias), torch.randn(*rows, width), torch.randn(*rows, units)
    exact = nn.Linear(width, units, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    found, expected = _outputs(layer, x, upstream), _outputs(exact, x.double(), upstream.double())
    assert len(found) == len(expected) == 3 + bias
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-3)


def test_large_products_are_onednn_s_and_small_ones_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(linear, "_product", lambda x, weight, *rest: calls.append(x.shape) or x @ weight.t())
    layer = Linear(256, 128)
    layer(torch.randn(4, 256))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(torch.randn(4096, 256))
    assert not calls
    layer(torch.randn(4096, 256, requires_grad=True)).sum().backward()
    assert calls == [(4096, 256), (4096, 128), (128, 4096)]
    with torch.no_grad():
        layer(torch.randn(4096, 256))
    assert calls[3:] == [(4096, 256)]


def test_a_traced_layer_is_a_plain_one() -> None:
    program = torch.export.export(nn.Sequential(Linear(256, 128)), (torch.randn(4096, 256),))
    assert "aten.linear.default" in program.graph_module.code.replace("torch.ops.", "")
