import pytest
import torch
from torch import nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.activation import Dice
from tzx.runtime.nn.linear import Linear
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2


def kinds(mlp: MLP) -> list[list[type]]:
    return [[type(part) for part in layer] for layer in mlp.layers]


def test_layers_come_in_order_linear_norm_activation_dropout() -> None:
    normed = MLP(4, module_pb2.MLP(hidden_units=[3], use_bn=True, dropout_ratio=[0.2]))
    assert kinds(normed) == [[Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]]
    assert normed.layers[0][0].bias is None
    layered = MLP(4, module_pb2.MLP(hidden_units=[3], use_ln=True, activation="Dice"))
    assert kinds(layered) == [[Linear, nn.LayerNorm, Dice]]
    assert layered.layers[0][0].bias is not None
    plain = MLP(4, module_pb2.MLP(hidden_units=[3], activation="", bias=False))
    assert kinds(plain) == [[Linear]]
    assert plain.layers[0][0].bias is None


def test_forward_is_the_composition_of_its_layers() -> None:
    mlp = MLP(4, module_pb2.MLP(hidden_units=[5, 2])).eval()
    x = torch.randn(7, 4)
    expected = x
    for layer in mlp.layers:
        expected = (expected @ layer[0].weight.T + layer[0].bias).clamp(min=0)
    torch.testing.assert_close(mlp(x), expected)
    assert mlp.out_dim == 2


@pytest.mark.parametrize("config", [{"use_bn": True}, {"activation": "Dice"}, {"use_ln": True}])
def test_leading_dimensions_count_as_rows(config: dict[str, object]) -> None:
    torch.manual_seed(0)
    mlp = MLP(4, module_pb2.MLP(hidden_units=[5], **config)).train()
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(mlp(x), mlp(x.view(6, 4)).view(2, 3, 5))


def test_dropout_ratios_apply_to_all_or_one_by_one() -> None:
    one = MLP(4, module_pb2.MLP(hidden_units=[3, 2], dropout_ratio=[0.5]))
    assert [layer[-1].p for layer in one.layers] == [0.5, 0.5]
    each = MLP(4, module_pb2.MLP(hidden_units=[3, 2], dropout_ratio=[0.0, 0.25]))
    assert kinds(each) == [[Linear, nn.ReLU], [Linear, nn.ReLU, nn.Dropout]]
    with pytest.raises(ConfigError, match="3 dropout_ratio values for 2 hidden_units"):
        MLP(4, module_pb2.MLP(hidden_units=[3, 2], dropout_ratio=[0.1, 0.1, 0.1]))
    with pytest.raises(ConfigError, match=r"1.5 is not in \[0, 1\)"):
        MLP(4, module_pb2.MLP(hidden_units=[3], dropout_ratio=[1.5]))


def test_both_norms_are_refused() -> None:
    with pytest.raises(ConfigError, match="use_bn and use_ln"):
        MLP(4, module_pb2.MLP(hidden_units=[3], use_bn=True, use_ln=True))


def test_no_hidden_units_pass_the_input() -> None:
    mlp = MLP(4, module_pb2.MLP())
    x = torch.randn(2, 4)
    assert mlp(x) is x
    assert mlp.out_dim == 4


def test_hidden_outputs_name_every_layer() -> None:
    mlp = MLP(4, module_pb2.MLP(hidden_units=[5, 2])).eval()
    x = torch.randn(3, 4)
    hidden = mlp.hidden_outputs(x)
    assert list(hidden) == ["hidden_layer0", "hidden_layer1", "hidden_layer_end"]
    torch.testing.assert_close(hidden["hidden_layer1"], mlp(x))
    assert hidden["hidden_layer_end"] is hidden["hidden_layer1"]
    assert hidden["hidden_layer0"].shape == (3, 5)
