"""Multi-layer perceptron as configs describe it."""

from collections.abc import Sequence

from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.activation import make_activation
from tzx.runtime.nn.linear import Linear
from tzx.runtime.protos import module_pb2


class MLP(nn.Module):
    """Layers of Linear, BatchNorm or LayerNorm, activation, Dropout; the last dimension is the width.

    Args:
        in_dim: width of the input.
        config: hidden units and what each layer consists of. Without hidden units the input passes unchanged.

    Raises:
        ConfigError: both norms at once, or a dropout list that does not fit the layers.
    """

    def __init__(self, in_dim: int, config: module_pb2.MLP) -> None:
        super().__init__()
        if config.use_bn and config.use_ln:
            raise ConfigError("mlp: use_bn and use_ln are both set; keep one of them")
        widths = [in_dim, *config.hidden_units]
        ratios = _dropout_ratios(config.dropout_ratio, len(config.hidden_units))
        self.layers = nn.ModuleList(
            _make_layer(widths[i], widths[i + 1], ratio, config) for i, ratio in enumerate(ratios)
        )
        self.in_dim = in_dim
        self.out_dim: int = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_dim] to [..., out_dim]."""
        # Batch norm and Dice take [B, D] only: any other leading dimensions count as rows.
        y = x.reshape(-1, self.in_dim) if x.dim() != 2 else x
        for layer in self.layers:
            y = layer(y)
        return y if x.dim() == 2 else y.view(*x.shape[:-1], self.out_dim)

    def after_linear(self, hidden: Tensor) -> Tensor:
        """What is left to do once the first layer's Linear gave `hidden`: [..., first width] to [..., out_dim]."""
        y = hidden.reshape(-1, hidden.shape[-1])
        for part in list(self.layers[0].children())[1:]:
            y = part(y)
        for layer in self.layers[1:]:
            y = layer(y)
        return y.view(*hidden.shape[:-1], self.out_dim)

    def hidden_outputs(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Output of layer i as `hidden_layer<i>`, of the last one also as `hidden_layer_end`."""
        outputs = {}
        for i, layer in enumerate(self.layers):
            x_BD = layer(x_BD)
            outputs[f"hidden_layer{i}"] = x_BD
        outputs["hidden_layer_end"] = x_BD
        return outputs


def _make_layer(in_dim: int, out_dim: int, dropout: float, config: module_pb2.MLP) -> nn.Sequential:
    # With batch norm a bias would be subtracted again.
    parts: list[nn.Module | None] = [
        Linear(in_dim, out_dim, bias=config.bias and not config.use_bn),
        nn.BatchNorm1d(out_dim) if config.use_bn else None,
        nn.LayerNorm(out_dim) if config.use_ln else None,
        make_activation(config.activation, out_dim),
        nn.Dropout(dropout) if dropout > 0 else None,
    ]
    return nn.Sequential(*(p for p in parts if p is not None))


def _dropout_ratios(ratios: Sequence[float], layers: int) -> list[float]:
    if len(ratios) not in (0, 1, layers):
        raise ConfigError(
            f"mlp: {len(ratios)} dropout_ratio values for {layers} hidden_units; give none, one or {layers}"
        )
    for ratio in ratios:
        if not 0 <= ratio < 1:
            raise ConfigError(f"mlp: dropout_ratio {ratio:g} is not in [0, 1)")
    if len(ratios) == layers:
        return list(ratios)
    return [ratios[0] if ratios else 0.0] * layers
