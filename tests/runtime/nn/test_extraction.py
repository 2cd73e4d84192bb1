import torch

from tzx.runtime.nn.extraction import Extraction
from tzx.runtime.protos.module_pb2 import MLP, ExtractionNetwork


def network(**fields: object) -> ExtractionNetwork:
    return ExtractionNetwork(
        network_name="n", task_expert_net=MLP(hidden_units=[3]), share_expert_net=MLP(hidden_units=[3]), **fields
    )  # type: ignore[arg-type]


def test_a_task_does_not_see_the_experts_of_another() -> None:
    torch.manual_seed(0)
    layer = Extraction(4, 2, network(expert_num_per_task=1, share_num=1), with_shared=True)
    tasks, shared = [torch.randn(5, 4), torch.randn(5, 4)], torch.randn(5, 4)
    before, mixed = layer(tasks, shared)
    with torch.no_grad():
        for parameter in layer.task_experts[1].parameters():
            parameter.add_(1)
    after, mixed_after = layer(tasks, shared)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])
    assert not torch.equal(mixed, mixed_after)


def test_the_last_layer_has_no_shared_gate() -> None:
    layer = Extraction(4, 2, network(expert_num_per_task=2, share_num=1), with_shared=False)
    assert layer.shared_gate is None
    shared = torch.randn(5, 4)
    outputs, same = layer([shared, shared], shared)
    assert same is shared
    assert [tuple(o.shape) for o in outputs] == [(5, layer.out_dim)] * 2 == [(5, 3)] * 2


def test_shared_experts_alone_are_a_mixture_of_experts() -> None:
    layer = Extraction(4, 2, network(expert_num_per_task=0, share_num=2), with_shared=False)
    x = torch.randn(5, 4)
    weights = torch.softmax(layer.gates[1](x), dim=1)
    expected = sum(weights[:, [i]] * expert(x) for i, expert in enumerate(layer.shared_experts))
    torch.testing.assert_close(layer([x, x], x)[0][1], expected)
