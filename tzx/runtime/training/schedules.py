"""Learning-rate schedules: a step (or epoch) count in, a factor-free learning rate out.

Each is a pure function of the count, so that resuming needs no scheduler state.
"""

import math
from bisect import bisect_left
from collections.abc import Callable

from google.protobuf.message import Message

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import optimizer_pb2 as pb

Schedule = Callable[[int], float]


def make_schedule(config: Message, base_lr: float) -> tuple[Schedule, bool]:
    """Build the schedule of an optimizer config.

    Args:
        config: a message with a `learning_rate` oneof (SparseOptimizer, DenseOptimizer, PartOptimizer).
        base_lr: learning rate of the optimizer; 0 stays 0 whatever the schedule.

    Returns:
        The schedule and whether it counts epochs instead of steps.

    Raises:
        ConfigError: a period is 0 or the lists of a manual schedule differ in length.
    """
    name = config.WhichOneof("learning_rate")
    if name is None or name == "constant_learning_rate" or base_lr == 0:
        return (lambda count: base_lr), False
    schedule = getattr(config, name)
    _check(name, schedule)
    return _BUILDERS[name](schedule, base_lr), schedule.by_epoch


def _exponential(c: pb.ExponentialDecayLR, base_lr: float) -> Schedule:
    def at(count: int) -> float:
        if count < c.warmup_size:
            return _warmup(count, c.warmup_size, c.warmup_learning_rate, base_lr)
        power = (count - c.warmup_size) / c.decay_size
        decayed = base_lr * c.decay_factor ** (math.floor(power) if c.staircase else power)
        return max(decayed, c.min_learning_rate)

    return at


def _manual(c: pb.ManualStepLR, base_lr: float) -> Schedule:
    def at(count: int) -> float:
        index = bisect_left(c.schedule_sizes, count)
        if index > 0:
            return c.learning_rates[index - 1]
        if c.warmup and c.schedule_sizes:
            return _warmup(count, c.schedule_sizes[0], base_lr, c.learning_rates[0])
        return base_lr

    return at


def _cosine(c: pb.CosineAnnealingLR, base_lr: float) -> Schedule:
    def at(count: int) -> float:
        if count < c.warmup_size:
            return _warmup(count, c.warmup_size, c.warmup_learning_rate, base_lr)
        return _annealed(min(count - c.warmup_size, c.T_max), c.T_max, c.min_learning_rate, base_lr)

    return at


def _warm_restarts(c: pb.CosineAnnealingWarmRestartsLR, base_lr: float) -> Schedule:
    def at(count: int) -> float:
        if count < c.warmup_size:
            return _warmup(count, c.warmup_size, c.warmup_learning_rate, base_lr)
        elapsed, period = count - c.warmup_size, c.T_0
        while elapsed >= period:
            elapsed, period = elapsed - period, period * c.T_mult
        return _annealed(elapsed, period, c.min_learning_rate, base_lr)

    return at


def _warmup(count: int, size: int, start: float, end: float) -> float:
    return start + (end - start) * count / size


def _annealed(t: int, period: int, low: float, high: float) -> float:
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * t / period))


def _check(name: str, schedule: Message) -> None:
    for period in ("decay_size", "T_max", "T_0"):
        if period in schedule.DESCRIPTOR.fields_by_name and getattr(schedule, period) == 0:
            raise ConfigError(f"{name}: {period} must be set to 1 or more")
    if isinstance(schedule, pb.ManualStepLR) and len(schedule.schedule_sizes) != len(schedule.learning_rates):
        raise ConfigError(
            f"{name}: {len(schedule.schedule_sizes)} schedule_sizes but {len(schedule.learning_rates)} "
            f"learning_rates; give one learning rate per boundary"
        )


_BUILDERS: dict[str, Callable[..., Schedule]] = {
    "exponential_decay_learning_rate": _exponential,
    "manual_step_learning_rate": _manual,
    "cosine_annealing_learning_rate": _cosine,
    "cosine_annealing_warm_restarts_learning_rate": _warm_restarts,
}
