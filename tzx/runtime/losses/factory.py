"""From LossConfig to losses."""

from collections.abc import Callable

from tzx.runtime.errors import ConfigError
from tzx.runtime.losses.jrc import JRCLoss
from tzx.runtime.losses.losses import BinaryCrossEntropy, BinaryFocalLoss, L2Loss, Loss, SoftmaxCrossEntropy
from tzx.runtime.protos import loss_pb2

_ONE_CLASS: dict[str, Callable[[loss_pb2.LossConfig], Loss]] = {
    "binary_cross_entropy": lambda config: BinaryCrossEntropy(config.binary_cross_entropy),
    "binary_focal_loss": lambda config: BinaryFocalLoss(config.binary_focal_loss),
    "l2_loss": lambda config: L2Loss(),
}


def loss_name(config: loss_pb2.LossConfig) -> str:
    """Field name of the loss that is set, "" when none is."""
    return config.WhichOneof("loss") or config.WhichOneof("sid_loss") or ""


def make_loss(config: loss_pb2.LossConfig, num_class: int) -> Loss:
    """Build a loss.

    Args:
        config: which loss, with its fields.
        num_class: width of the logits.

    Raises:
        ConfigError: the loss does not exist yet or does not fit `num_class`.
    """
    name = loss_name(config)
    if name in _ONE_CLASS:
        if num_class != 1:
            raise ConfigError(
                f"loss {name} needs num_class 1, given {num_class}; for classes use softmax_cross_entropy"
            )
        return _ONE_CLASS[name](config)
    if name == "softmax_cross_entropy":
        if num_class < 2:
            raise ConfigError(f"loss {name} needs num_class of 2 or more, given {num_class}")
        return SoftmaxCrossEntropy(config.softmax_cross_entropy, num_class)
    if name == "jrc_loss":
        if num_class != 2:
            raise ConfigError(f"loss {name} needs num_class 2, given {num_class}")
        return JRCLoss(config.jrc_loss)
    known = ", ".join([*_ONE_CLASS, "softmax_cross_entropy", "jrc_loss"])
    if not name:
        raise ConfigError(f"a losses entry is empty; set one of {known}")
    raise ConfigError(f"loss {name} is not available; available: {known}")
