import torch
from torch import nn

from tzx.runtime.nn.experts import MixtureOfExperts
from tzx.runtime.protos.module_pb2 import MLP


def test_each_task_weighs_the_same_experts_its_own_way() -> None:
    torch.manual_seed(0)
    mixture = MixtureOfExperts(4, MLP(hidden_units=[6, 3]), num_experts=5, num_tasks=2).eval()
    x = torch.randn(7, 4)
    outputs = mixture(x)
    assert len(outputs) == 2
    assert mixture.out_dim == 3
    for gate, output in zip(mixture.gates, outputs, strict=True):
        assert isinstance(gate, nn.Linear)
        logits = x @ gate.weight.T + gate.bias
        weights = logits.exp() / logits.exp().sum(1, keepdim=True)
        expected = sum(weights[:, i : i + 1] * expert(x) for i, expert in enumerate(mixture.experts))
        torch.testing.assert_close(output, expected)
    assert not torch.allclose(outputs[0], outputs[1])


def test_gate_mlp_comes_before_the_gate() -> None:
    mixture = MixtureOfExperts(4, MLP(hidden_units=[3]), 2, 1, gate_mlp=MLP(hidden_units=[8]))
    mlp, linear = mixture.gates[0]  # type: ignore[misc]
    assert (mlp.out_dim, linear.in_features, linear.out_features) == (8, 8, 2)
    x = torch.randn(3, 4)
    weights = torch.softmax(linear(mlp(x)), dim=1)
    expected = sum(weights[:, i : i + 1] * expert(x) for i, expert in enumerate(mixture.experts))
    torch.testing.assert_close(mixture(x)[0], expected)
