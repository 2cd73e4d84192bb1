import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.initializers import make_initializer


def test_arguments_reach_the_initializer() -> None:
    weight = torch.zeros(200, 5)
    make_initializer("nn.init.uniform_,a=-0.01,b=0.01")(weight)
    assert -0.01 <= weight.min() < -0.005
    assert 0.005 < weight.max() <= 0.01
    make_initializer("torch.nn.init.constant_, val=2")(weight)
    assert (weight == 2).all()
    make_initializer("nn.init.zeros_")(weight)
    assert (weight == 0).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nn.init.uniform", """unknown init_fn 'nn.init.uniform'; did you mean "nn.init.uniform_".; allowed: """),
        ("os.system", "unknown init_fn"),
        ("nn.init.uniform_,low=1", "it takes a, b, generator"),
        ("nn.init.uniform_,-1,1", "give arguments by name"),
        ("nn.init.uniform_,a=print()", "must be plain numbers"),
        ("nn.init.uniform_,a=", "is not a name or a call"),
        ("nn.init.constant_", "missing a required argument"),
    ],
)
def test_anything_else_is_a_config_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_initializer(text)
