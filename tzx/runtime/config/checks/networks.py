"""Rules about the blocks that models are made of, wherever they stand."""

import ast

from tzx.runtime.config.checks.context import Context
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import hint, quoted
from tzx.runtime.config.schema import fields_of

_ACTIVATIONS = [
    "Dice",
    *(
        f"nn.{name}"
        for name in (
            "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
            "LogSigmoid", "Mish", "PReLU", "ReLU", "ReLU6", "RReLU", "SELU", "Sigmoid", "SiLU", "Softmax", "Softplus",
            "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold",
        )
    ),
]  # fmt: skip
_SHARES = {
    "BinaryCrossEntropy": ("label_smoothing",),
    "SoftmaxCrossEntropy": ("label_smoothing",),
    "JRCLoss": ("alpha",),
    "EMAConfig": ("decay",),
    "TrainMetricConfig": ("decay_rate",),
    "DataConfig": ("sample_mask_prob", "negative_sample_mask_prob"),
    "TrainConfig": ("save_checkpoints_timestamp_quorum",),
    "TDMSampler": ("remain_ratio",),
    "SelfAttentionEncoder": ("dropout",),
    "InterventionTaskTower": ("dropout_ratio",),
    "BSTTower": ("dropout_ratio",),
    "STU": ("output_dropout_ratio",),
    "HSTU": ("input_dropout_ratio",),
}


@rule()
def dropout_list(c: Context) -> None:
    """dropout_ratio has no value, one for all layers, or one for each."""
    for node in c.of_type("MLP"):
        ratios, layers = len(node.message.dropout_ratio), len(node.message.hidden_units)
        if ratios not in (0, 1, layers):
            path = (*node.path, "dropout_ratio", 0)
            c.error(path, f"dropout_ratio has {ratios} values for {layers} layers; give one for all, or one for each")
        for index, ratio in enumerate(node.message.dropout_ratio):
            if not 0 <= ratio <= 1:
                c.error((*node.path, "dropout_ratio", index), f"dropout_ratio must be from 0 to 1, not {ratio:.6g}")


@rule()
def both_norms(c: Context) -> None:
    """A layer is normalised in one way."""
    for node in c.of_type("MLP"):
        if node.message.use_bn and node.message.use_ln:
            c.error((*node.path, "use_ln"), "use_bn and use_ln are both set; keep one of them")


@rule()
def mlp_without_units(c: Context) -> None:
    """An MLP has layers."""
    for node in c.of_type("MLP"):
        if not node.message.hidden_units and (*node.path, "hidden_units") not in c.damaged:
            c.warn(node.path, f"{node.path[-1]} has no hidden_units, so it changes nothing")
        for index, width in enumerate(node.message.hidden_units):
            if width == 0:
                c.error((*node.path, "hidden_units", index), "a layer of 0 units; hidden_units must be at least 1")


@rule()
def activation_known(c: Context) -> None:
    """Activations are `nn.X`, `nn.X(k=v)` or Dice."""
    for node in c.messages:
        for field in ("activation", "ppnet_activation"):
            if field in fields_of(node.message.DESCRIPTOR):
                text = getattr(node.message, field).strip()
                if text and (problem := _activation_problem(text)):
                    c.error((*node.path, field), f"{field} {quoted(text)}: {problem}")


def _activation_problem(text: str) -> str | None:
    name, parenthesis, _ = text.partition("(")
    name = name.strip().removeprefix("torch.")
    if name not in _ACTIVATIONS:
        return f"{quoted(name)} is not known{hint(name, _ACTIVATIONS)}"
    if not parenthesis:
        return None
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call):
            return "expected NAME(argument=value)"
        for node in (*call.args, *(keyword.value for keyword in call.keywords)):
            ast.literal_eval(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "arguments must be plain values, such as nn.LeakyReLU(negative_slope=0.1)"
    return None


@rule()
def share_range(c: Context) -> None:
    """Probabilities, shares and decays lie from 0 to 1."""
    for kind, names in _SHARES.items():
        for node in c.of_type(kind):
            for name in names:
                value = getattr(node.message, name)
                if not 0 <= value <= 1:
                    c.error((*node.path, name), f"{name} must be from 0 to 1, not {value:.6g}")
