"""Activations by the text that a config gives for them."""

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.expressions import check_arguments, check_name, parse_call

_TORCH_ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.RReLU,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softmax,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
)
_BY_NAME: dict[str, type[nn.Module]] = {f"nn.{a.__name__}": a for a in _TORCH_ACTIVATIONS}


class Dice(nn.Module):
    """Data adaptive activation: p * x + (1 - p) * alpha * x with p = sigmoid(batchnorm(x)).

    Source: Zhou et al., Deep Interest Network for Click-Through Rate Prediction, section 5.3.

    Args:
        dim: width D of the input [B, D]; alpha has one value per column.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.alpha = nn.Parameter(torch.zeros(dim))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Activate [B, D]."""
        p_BD = torch.sigmoid(self.norm(x_BD))
        return self.alpha * (1 - p_BD) * x_BD + p_BD * x_BD


def make_activation(text: str, dim: int) -> nn.Module | None:
    """Build the activation that `text` names, or None for an empty text.

    Args:
        text: `nn.X`, `nn.X(k=v)` with literal arguments, or `Dice`.
        dim: width of what it is applied to.

    Raises:
        ConfigError: unknown name (with the nearest known one), or arguments it does not take.
    """
    if not text.strip():
        return None
    expression = parse_call(text)
    name = expression.name.removeprefix("torch.")
    check_name(name, [*_BY_NAME, "Dice"], "activation")
    if name == "Dice":
        if expression.args or expression.kwargs:
            raise ConfigError(f"activation {text!r}: Dice takes no arguments")
        return Dice(dim)
    factory = _BY_NAME[name]
    check_arguments(factory, expression)
    try:
        return factory(*expression.args, **expression.kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"activation {text!r}: {error}") from error
