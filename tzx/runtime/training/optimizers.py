"""Dense optimizers: torch.optim over the parameters that are not table shards.

`part_optimizers` pick parameters by a full match of their names, the first match wins; the rest go to the main one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from google.protobuf.message import Message
from torch import nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.optimizer_pb2 import DenseOptimizer
from tzx.runtime.training.schedules import Schedule, make_schedule


@dataclass(frozen=True)
class ScheduledOptimizer:
    """An optimizer, the schedule of its learning rate, and the names of its parameters in order."""

    name: str
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    by_epoch: bool
    parameter_names: tuple[str, ...] = ()

    def set_lr(self, step: int, epoch: int) -> float:
        """Set and return the learning rate of the coming step; frozen groups keep rate 0."""
        lr = self.schedule(epoch if self.by_epoch else step)
        for group in self.optimizer.param_groups:
            if not group.get("frozen"):
                group["lr"] = lr
        return lr

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters it updates, with their names in the model."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        return zip(self.parameter_names, parameters, strict=True)

    @property
    def lr(self) -> float:
        """The learning rate in force."""
        rates = [group["lr"] for group in self.optimizer.param_groups if not group.get("frozen")]
        return rates[0] if rates else 0.0


def build_dense_optimizers(
    config: DenseOptimizer, parameters: Iterable[tuple[str, nn.Parameter]]
) -> list[ScheduledOptimizer]:
    """Build the main and the part optimizers; parts that match no parameter are an error."""
    remaining = {name: p for name, p in parameters if p.requires_grad}
    parts: list[ScheduledOptimizer] = []
    for i, part in enumerate(config.part_optimizers):
        matched = {n: p for n, p in remaining.items() if re.fullmatch(part.regex_pattern, n)}
        if not matched:
            raise ConfigError(
                f"dense_optimizer.part_optimizers[{i}].regex_pattern {part.regex_pattern!r} matches no parameter; "
                f"there are, for example: {', '.join(list(remaining)[:5])}"
            )
        remaining = {n: p for n, p in remaining.items() if n not in matched}
        schedule_owner = part if part.WhichOneof("learning_rate") else config
        parts.append(_build(f"part{i}", part, matched, schedule_owner))
    main = [_build("dense", config, remaining, config)] if remaining else []
    return main + parts


def _build(
    name: str, config: Message, parameters: Mapping[str, nn.Parameter], schedule_owner: Message
) -> ScheduledOptimizer:
    which = config.WhichOneof("optimizer")
    if which is None:
        raise ConfigError(f"{name} optimizer: choose one of {', '.join(_CLASSES)}")
    options = getattr(config, which)
    on_cpu = all(p.device.type == "cpu" for p in parameters.values())
    optimizer = _CLASSES[which](list(parameters.values()), **_arguments(which, options, on_cpu))
    schedule, by_epoch = make_schedule(schedule_owner, options.lr)
    return ScheduledOptimizer(name, optimizer, schedule, by_epoch, tuple(parameters))


def _arguments(which: str, options: Message, on_cpu: bool) -> dict[str, Any]:
    """Every field of the message is an argument of the torch class, but for betas, which torch takes as a pair."""
    values = {f.name: getattr(options, f.name) for f in options.DESCRIPTOR.fields}
    if which in ("adam_optimizer", "adamw_optimizer"):
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    if "fused" in values:
        # Left to choose, torch goes one operation after the other on CPU, which takes 3 to 6 times as long.
        wanted = options.fused if options.HasField("fused") else on_cpu
        values["fused"] = wanted or None  # an explicit False would also rule out the foreach kernels of GPUs
    return values


_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd_optimizer": torch.optim.SGD,
    "adagrad_optimizer": torch.optim.Adagrad,
    "adam_optimizer": torch.optim.Adam,
    "adamw_optimizer": torch.optim.AdamW,
    "adadelta_optimizer": torch.optim.Adadelta,
    "rmsprop_optimizer": torch.optim.RMSprop,
}
