"""What the `zch` and `dynamicemb` messages of features ask of an id map, in one form for both."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from tzx.runtime.config.thresholds import Threshold, parse_threshold
from tzx.runtime.embedding.dynamic import kernels
from tzx.runtime.embedding.dynamic.id_map import MOST_ROWS, Eviction
from tzx.runtime.embedding.dynamic.initial import Initial, initial_of_args
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import Feature

_OPTIONS = ("zch", "dynamicemb")
_SCORES = {"STEP": kernels.LRU, "TIMESTAMP": kernels.LRU, "LFU": kernels.LFU, "NO_EVICTION": kernels.NEVER}


@dataclass(frozen=True)
class IdMapSpec:
    """The id map of one `embedding_name`; every table under that name follows it.

    Args:
        name: the embedding name.
        rows: rows of its tables. The last one belongs to all ids that have none, the others to one id each.
        eviction: what is given up when rows are short.
        interval: ids are evicted only in steps that are multiples of it.
        threshold: which ids get a row.
        counter_rows: how many ids without a row are counted at a time.
        miss: value of every number in the last row; None when that row is learned like the others.
        initial: where rows start, unless the table has an init_fn; None for the default of tables.
        features: features whose ids it maps.
    """

    name: str
    rows: int
    eviction: Eviction
    interval: int
    threshold: Threshold
    counter_rows: int
    miss: float | None
    initial: Initial | None
    features: tuple[str, ...]

    @property
    def miss_row(self) -> int:
        """The row of ids without one of their own."""
        return self.rows - 1


def option_of(feature: Feature) -> Message | None:
    """The `zch` or `dynamicemb` message of a feature, None for a table of fixed ids."""
    given = {f.name: value for f, value in feature.config.ListFields()}
    return next((given[name] for name in _OPTIONS if name in given), None)


def make_specs(features: Iterable[Feature]) -> tuple[IdMapSpec, ...]:
    """The id maps of those features that have one; features of one embedding name share it.

    Raises:
        ConfigError: an option is not offered or makes no sense; the message names feature and field.
    """
    users: dict[str, list[Feature]] = {}
    for feature in features:
        if option_of(feature) is not None:
            users.setdefault(feature.embedding_name, []).append(feature)
    return tuple(_make_spec(name, of_name) for name, of_name in users.items())


def _make_spec(name: str, features: Sequence[Feature]) -> IdMapSpec:
    option: Any = option_of(features[0])
    field = option.DESCRIPTOR.name
    try:
        spec = (_of_zch if field == "ZeroCollisionHash" else _of_dynamicemb)(name, option, features)
        if not 2 <= spec.rows <= MOST_ROWS:
            raise ConfigError(f"{spec.rows} rows; a table of ids needs from 2 rows (one is kept free) to {MOST_ROWS}")
        return spec
    except ConfigError as error:
        raise ConfigError(f"feature {features[0].name!r}: {error}") from error


def _of_zch(name: str, option: Any, features: Sequence[Feature]) -> IdMapSpec:
    if option.eviction_interval < 1:
        raise ConfigError("zch.eviction_interval is 0; it must be at least 1")
    try:
        threshold = parse_threshold(option.threshold_filtering_func) if option.threshold_filtering_func else Threshold()
    except ConfigError as error:
        raise ConfigError(f"zch.threshold_filtering_func: {error}") from error
    return IdMapSpec(
        name=name,
        rows=option.zch_size,
        eviction=_zch_eviction(option),
        interval=option.eviction_interval,
        threshold=threshold,
        counter_rows=option.zch_size,
        miss=None,
        initial=None,
        features=tuple(f.name for f in features),
    )


def _zch_eviction(option: Any) -> Eviction:
    policy = option.WhichOneof("eviction_policy")
    if policy is None:
        raise ConfigError("zch needs an eviction policy: lfu {}, lru {} or distance_lfu {}")
    if policy == "lfu":
        return Eviction(kernels.LFU)
    exponent = getattr(option, policy).decay_exponent
    if not (exponent > 0 and math.isfinite(exponent)):
        raise ConfigError(f"zch.{policy}.decay_exponent is {exponent:g}; it must be above 0")
    return Eviction(kernels.LRU if policy == "lru" else kernels.DISTANCE_LFU, exponent)


def _of_dynamicemb(name: str, option: Any, features: Sequence[Feature]) -> IdMapSpec:
    if option.score_strategy not in _SCORES:
        remedy = "scores that a program sets cannot come from a config; use STEP, TIMESTAMP, LFU or NO_EVICTION"
        raise ConfigError(f"dynamicemb.score_strategy {option.score_strategy!r} is not supported: {remedy}")
    if option.init_table:
        raise ConfigError("dynamicemb.init_table is not supported; start from a checkpoint with fine_tune_checkpoint")
    strategy = option.frequency_admission_strategy
    admits = option.HasField("frequency_admission_strategy") and strategy.threshold > 1
    counters = strategy.counter_capacity or option.max_capacity
    if admits and not counters <= MOST_ROWS:
        raise ConfigError(f"dynamicemb.frequency_admission_strategy.counter_capacity is {counters}, above {MOST_ROWS}")
    return IdMapSpec(
        name=name,
        rows=option.max_capacity,
        eviction=Eviction(_SCORES[option.score_strategy]),
        interval=1,
        threshold=Threshold("count", strategy.threshold) if admits else Threshold(),
        counter_rows=counters,
        miss=_miss_value(option),
        initial=initial_of_args(option.initializer_args, option.max_capacity, features[0].embedding_dim),
        features=tuple(f.name for f in features),
    )


def _miss_value(option: Any) -> float:
    """What ids without a row get. It is one constant in training and in serving, so that these agree."""
    value = _constant("eval_initializer_args", option.eval_initializer_args)
    strategy = option.frequency_admission_strategy
    if not strategy.HasField("initializer_args"):
        return value
    in_training = _constant("frequency_admission_strategy.initializer_args", strategy.initializer_args)
    if in_training != value:
        raise ConfigError(
            f"dynamicemb: ids that are not admitted would be {in_training:g} in training "
            f"(frequency_admission_strategy.initializer_args) but {value:g} in serving (eval_initializer_args); "
            f"give both the same value"
        )
    return value


def _constant(field: str, args: Any) -> float:
    if args.mode not in ("", "CONSTANT"):
        raise ConfigError(
            f"dynamicemb.{field}.mode is {args.mode}; ids without a row get a constant, so it must be CONSTANT"
        )
    return args.value
