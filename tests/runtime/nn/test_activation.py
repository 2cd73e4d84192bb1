import pytest
import torch
from torch import nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.activation import Dice, make_activation


def test_names_with_and_without_arguments() -> None:
    assert isinstance(make_activation("nn.ReLU", 3), nn.ReLU)
    assert isinstance(make_activation(" torch.nn.ReLU() ", 3), nn.ReLU)
    leaky = make_activation("nn.LeakyReLU(negative_slope=0.1)", 3)
    assert isinstance(leaky, nn.LeakyReLU)
    assert leaky.negative_slope == 0.1
    assert make_activation("nn.LeakyReLU(0.3)", 3).negative_slope == 0.3  # type: ignore[union-attr]
    assert isinstance(make_activation("Dice", 3), Dice)
    assert make_activation("", 3) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nn.Relu",
            """unknown activation 'nn.Relu'; did you mean "nn.ReLU".; allowed: Dice, nn.CELU, """,
        ),
        ("nn.Linear", "unknown activation 'nn.Linear'"),
        ("nn.LeakyReLU(slope=0.1)", "it takes negative_slope, inplace"),
        ("nn.LeakyReLU(negative_slope=open('x'))", "must be plain numbers"),
        ("nn.LeakyReLU(**{'a': 1})", "must be plain numbers"),
        ("__import__('os').system('true')", "is not a name or a call"),
        ("nn.ReLU; import os", "is not a name or a call"),
        ("lambda x: x", "is not a name or a call"),
        ("nn.Threshold", "missing a required argument"),
        ("Dice(3)", "Dice takes no arguments"),
    ],
)
def test_anything_else_is_a_config_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_activation(text, 3)


def test_dice_mixes_by_the_batch_distribution() -> None:
    torch.manual_seed(0)
    dice = Dice(2).train()
    nn.init.normal_(dice.alpha)
    x = torch.randn(50, 2)
    p = torch.sigmoid((x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + dice.norm.eps))
    torch.testing.assert_close(dice(x), dice.alpha * (1 - p) * x + p * x)
    assert Dice(2).alpha.tolist() == [0, 0]
