import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.two_streams import BilinearFusion, FeatureGate
from tzx.runtime.protos.module_pb2 import MLP


def test_a_gate_without_weights_lets_everything_pass() -> None:
    for context in (None, 3):
        gate = FeatureGate(5, context, MLP(hidden_units=[4]))
        for parameter in gate.output.parameters():
            torch.nn.init.zeros_(parameter)
        x = torch.randn(6, 5)
        torch.testing.assert_close(gate(x, torch.randn(6, 3)), x)


def test_a_learned_context_is_as_wide_as_the_first_layer() -> None:
    gate = FeatureGate(5, None, MLP(hidden_units=[4, 2]))
    assert gate.context is not None and gate.context.shape == (4,)
    assert FeatureGate(5, 3, MLP(hidden_units=[4, 2])).context is None


def test_heads_are_the_blocks_of_one_product() -> None:
    """Two heads equal one head whose matrix has zeros outside the two blocks."""
    two, one = BilinearFusion((4, 6), 2, 3), BilinearFusion((4, 6), 1, 3)
    with torch.no_grad():
        for name in ("first", "second"):
            getattr(one, name).load_state_dict(getattr(two, name).state_dict())
        one.weight[:, 0] = torch.stack([torch.block_diag(*heads) for heads in two.weight])
    x, y = torch.randn(5, 4), torch.randn(5, 6)
    torch.testing.assert_close(two(x, y), one(x, y))


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_divide_both_streams(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"num_heads is {heads}; it must divide the widths of both streams, 4 and 6"):
        BilinearFusion((4, 6), heads, 1)
