"""Weight initializers by the text that a config gives for them."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.expressions import Expression, check_arguments, check_name, parse_call

Initializer = Callable[[Tensor], Tensor]

_TORCH_INITIALIZERS = (
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
)


def make_initializer(text: str) -> Initializer:
    """Build the initializer that `text` names: `nn.init.NAME` and literal arguments, separated by commas.

    For example `nn.init.uniform_,a=-0.01,b=0.01`.

    Raises:
        ConfigError: unknown name (with the nearest known one), or arguments it does not take.
    """
    name_text, _, arguments = text.partition(",")
    name = name_text.strip().removeprefix("torch.")
    parsed = parse_call(f"f({arguments})")
    if parsed.args:
        raise ConfigError(f"init_fn {text!r}: give arguments by name, as in nn.init.uniform_,a=-0.01,b=0.01")
    check_name(name, [f"nn.init.{n}" for n in _TORCH_INITIALIZERS], "init_fn")
    function = getattr(nn.init, name.removeprefix("nn.init."))
    check_arguments(function, Expression(name, (), parsed.kwargs), given=1)
    return partial(function, **parsed.kwargs)


def initialise_layers(module: nn.Module, text: str) -> None:
    """Start the weights of linear and convolution layers as `text` says, and their biases at 0.

    Layers whose weights follow from other parameters keep them.

    Raises:
        ConfigError: as `make_initializer`.
    """
    initialize = make_initializer(text)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d) and not is_parametrized(layer):
            initialize(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
