"""Rules about tables whose rows belong to ids for as long as these are used."""

from typing import Any

from tzx.runtime.config.checks.context import Context
from tzx.runtime.config.checks.facts import given
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import listing, quoted
from tzx.runtime.config.sourcemap import Path
from tzx.runtime.config.thresholds import parse_threshold
from tzx.runtime.errors import ConfigError

_SCORES = ("TIMESTAMP", "STEP", "LFU", "NO_EVICTION")
_MODES = ("NORMAL", "TRUNCATED_NORMAL", "UNIFORM", "CONSTANT")
_HINTS = {
    "cache_load_factor": "kernels are chosen by embedding_constraints",
    "init_capacity_per_rank": "a table has all its max_capacity rows from the start",
    "bucket_capacity": "ids are not kept in groups of that many",
    "counter_bucket_capacity": "ids are not counted in groups of that many",
}


@rule()
def zch_policy(c: Context) -> None:
    """A zero-collision table needs to know which ids to give up."""
    for node in c.of_type("ZeroCollisionHash"):
        policy = node.message.WhichOneof("eviction_policy")
        if policy is None:
            c.error(node.path, "zch needs an eviction policy: lfu {}, lru {} or distance_lfu {}")
        elif policy != "lfu" and not getattr(node.message, policy).decay_exponent > 0:
            c.error((*node.path, policy, "decay_exponent"), "decay_exponent must be above 0")


@rule()
def zch_values(c: Context) -> None:
    """Admission filters are among those that are understood, and ids are evicted now and then."""
    for node in c.of_type("ZeroCollisionHash"):
        if not node.message.eviction_interval:
            c.error((*node.path, "eviction_interval"), "eviction_interval is 0; it must be at least 1")
        if text := node.message.threshold_filtering_func:
            try:
                parse_threshold(text)
            except ConfigError as error:
                c.error((*node.path, "threshold_filtering_func"), f"threshold_filtering_func: {error}")


@rule()
def dynamic_rows(c: Context) -> None:
    """One row of a table is for ids that have none, so there must be another."""
    for kind, field in (("ZeroCollisionHash", "zch_size"), ("DynamicEmbedding", "max_capacity")):
        for node in c.of_type(kind):
            rows = getattr(node.message, field)
            if not 2 <= rows < 2**31:
                c.error((*node.path, field), f"{field} is {rows}; it must be at least 2 and below {2**31}")


@rule()
def dynamicemb_values(c: Context) -> None:
    """Score strategies and initializer modes of dynamic tables."""
    for node in c.of_type("DynamicEmbedding"):
        value = node.message.score_strategy
        if value == "CUSTOMIZED":
            remedy = f"scores that a program sets cannot come from a config; use one of {listing(_SCORES)}"
            c.error((*node.path, "score_strategy"), f'score_strategy "CUSTOMIZED" is not supported: {remedy}')
        elif value not in _SCORES:
            c.error((*node.path, "score_strategy"), f"score_strategy {quoted(value)} is not one of {listing(_SCORES)}")
        if node.message.init_table:
            remedy = "start from a checkpoint with train_config.fine_tune_checkpoint"
            c.error((*node.path, "init_table"), f"init_table is not supported; {remedy}")
    for node in c.of_type("DynamicEmbInitializerArgs"):
        if (value := node.message.mode) and value not in _MODES:
            c.error((*node.path, "mode"), f"mode {quoted(value)} is not one of {listing(_MODES)}")


@rule()
def dynamicemb_misses(c: Context) -> None:
    """Ids without a row get one constant, in training and in serving."""
    for node in c.of_type("DynamicEmbedding"):
        serving = _constant(c, node.path, node.message, "eval_initializer_args")
        if not given(node.message, "frequency_admission_strategy"):
            continue
        path = (*node.path, "frequency_admission_strategy")
        strategy = node.message.frequency_admission_strategy
        training = _constant(c, path, strategy, "initializer_args")
        if None not in (serving, training) and given(strategy, "initializer_args") and serving != training:
            what = f"ids that are not admitted would be {training:g} in training but {serving:g} in serving"
            c.error((*path, "initializer_args"), f"{what} (eval_initializer_args); give both the same value")


@rule()
def dynamicemb_hints(c: Context) -> None:
    """Fields that tune another implementation change nothing here."""
    for node in c.of_type("DynamicEmbedding", "DynamicEmbFrequencyAdmissionStrategy"):
        for field, reason in _HINTS.items():
            if given(node.message, field):
                c.warn((*node.path, field), f"{field} has no effect: {reason}")


def _constant(c: Context, path: Path, message: Any, field: str) -> float | None:
    """The value of initializer arguments that must be constant; reports and returns None when they are not."""
    args = getattr(message, field)
    if args.mode in ("", "CONSTANT"):
        return args.value
    reason = "ids without a row get a constant, so it must be CONSTANT"
    c.error((*path, field, "mode"), f"{field}: mode is {quoted(args.mode)}; {reason}")
    return None
