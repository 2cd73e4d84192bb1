"""Admission of ids as `threshold_filtering_func` says it: a small Python expression, read without running it.

lambda x: (x > 10, 10)                                    seen more often than that
average_threshold_filter                                  seen more often than the mean of the ids without a row
partial(dynamic_threshold_filter, threshold_skew_multiplier=2.0)    the same, with a multiple of the mean
lambda x: probabilistic_threshold_filter(x, 0.05)         by chance, each time the id is seen
"""

import ast
import math
from dataclasses import dataclass
from typing import Literal

from tzx.runtime.config.problems import hint, listing
from tzx.runtime.errors import ConfigError

_PARAMETERS = {
    "average_threshold_filter": (),
    "dynamic_threshold_filter": ("threshold_skew_multiplier",),
    "probabilistic_threshold_filter": ("per_id_probability",),
}
_FORMS = (
    "lambda x: (x > 10, 10)",
    "average_threshold_filter",
    "partial(dynamic_threshold_filter, threshold_skew_multiplier=2.0)",
    "lambda x: probabilistic_threshold_filter(x, 0.05)",
)


@dataclass(frozen=True)
class Threshold:
    """Which ids get a row: "all" of them, those seen at least `value` times ("count") or more than `value` times the
    mean ("mean"), or each with probability `value` whenever it is seen ("chance")."""

    kind: Literal["all", "count", "mean", "chance"] = "all"
    value: float = 0.0


def parse_threshold(text: str) -> Threshold:
    """Read a `threshold_filtering_func`.

    Raises:
        ConfigError: it is none of the forms above, or its number makes no sense.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _unknown(text) from None
    if isinstance(node, ast.Lambda):
        return _of_lambda(node, text)
    if isinstance(node, ast.Name):
        return _of_filter(node.id, [], [], text)
    if isinstance(node, ast.Call) and _name(node.func) == "partial" and len(node.args) == 1:
        return _of_filter(_name(node.args[0]), [], node.keywords, text)
    raise _unknown(text)


def _of_lambda(node: ast.Lambda, text: str) -> Threshold:
    arguments, body = node.args, node.body
    if len(arguments.args) != 1 or arguments.kwonlyargs or arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise _unknown(text)
    counts = arguments.args[0].arg
    if isinstance(body, ast.Call) and body.args and _name(body.args[0]) == counts:
        return _of_filter(_name(body.func), body.args[1:], body.keywords, text)
    if not isinstance(body, ast.Tuple) or len(body.elts) != 2:
        raise _unknown(text)
    _number(body.elts[1], text)
    test = body.elts[0]
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or _name(test.left) != counts:
        raise _unknown(text)
    limit = _number(test.comparators[0], text)
    if isinstance(test.ops[0], ast.Gt):
        return Threshold("count", math.floor(limit) + 1)
    if isinstance(test.ops[0], ast.GtE):
        return Threshold("count", math.ceil(limit))
    raise _unknown(text)


def _of_filter(name: str, args: list[ast.expr], keywords: list[ast.keyword], text: str) -> Threshold:
    if name not in _PARAMETERS:
        raise ConfigError(f"{name!r} is not known{hint(name, _PARAMETERS)}") if name else _unknown(text)
    taken = _PARAMETERS[name]
    given = dict(zip(taken, args, strict=False)) | {k.arg: k.value for k in keywords if k.arg}
    if len(given) != len(args) + len(keywords) or set(given) - set(taken):
        raise ConfigError(f"{name} takes {listing(taken) if taken else 'no arguments'} after the counts")
    numbers = [_number(value, text) for value in given.values()]
    if name == "probabilistic_threshold_filter":
        probability = numbers[0] if numbers else 0.01
        if not 0 < probability <= 1:
            raise ConfigError(f"per_id_probability is {probability:g}; it must be above 0 and at most 1")
        return Threshold("chance", probability)
    multiplier = numbers[0] if numbers else (1.0 if name == "average_threshold_filter" else 10.0)
    if multiplier < 0:
        raise ConfigError(f"threshold_skew_multiplier is {multiplier:g}; it must not be negative")
    return Threshold("mean", multiplier)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _number(node: ast.expr, text: str) -> float:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise _unknown(text) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _unknown(text)
    return float(value)


def _unknown(text: str) -> ConfigError:
    return ConfigError(f"{text!r} is none of the forms that are understood: {'; '.join(_FORMS)}")
