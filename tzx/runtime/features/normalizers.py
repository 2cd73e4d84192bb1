"""Normalizers of numeric features: `method=...,key=value`, applied before defaults and bucketizing."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.expression import Expression, parse_expression
from tzx.runtime.features.ragged import Numbers

Float64 = npt.NDArray[np.float64]
VARIABLE = "x"


@dataclass(frozen=True)
class Log10:
    """log10(x) where x > threshold, else `default`."""

    threshold: float
    default: float

    def __call__(self, x: Numbers) -> Float64:
        """Normalized numbers."""
        with np.errstate(all="ignore"):
            logs: Float64 = np.log10(x, dtype=np.float64)
        # What is not above includes NaN.
        np.copyto(logs, self.default, where=~(x > self.threshold))
        return logs


@dataclass(frozen=True)
class Linear:
    """(x - shift) / scale."""

    shift: float
    scale: float

    def __call__(self, x: Numbers) -> Float64:
        """Normalized numbers."""
        return (x.astype(np.float64) - self.shift) / self.scale


@dataclass(frozen=True)
class Formula:
    """An expression over x."""

    expression: Expression

    def __call__(self, x: Numbers) -> Float64:
        """Normalized numbers."""
        return np.broadcast_to(self.expression({VARIABLE: x.astype(np.float64)}), x.shape)


Normalizer = Log10 | Linear | Formula


def _number(options: dict[str, str], key: str, default: float | None) -> float:
    if key not in options:
        if default is None:
            raise ConfigError(f"normalizer needs {key}=")
        return default
    try:
        return float(options.pop(key))
    except ValueError:
        raise ConfigError(f"normalizer {key}: a number is needed") from None


def _log10(options: dict[str, str]) -> Normalizer:
    return Log10(_number(options, "threshold", 1e-10), _number(options, "default", -10.0))


def _zscore(options: dict[str, str]) -> Normalizer:
    deviation = _number(options, "standard_deviation", None)
    if deviation == 0:
        raise ConfigError("normalizer zscore: standard_deviation must not be 0")
    return Linear(_number(options, "mean", None), deviation)


def _minmax(options: dict[str, str]) -> Normalizer:
    low, high = _number(options, "min", None), _number(options, "max", None)
    if low == high:
        raise ConfigError(f"normalizer minmax: min and max are both {low}")
    return Linear(low, high - low)


def _formula(options: dict[str, str]) -> Normalizer:
    if "expr" not in options:
        raise ConfigError("normalizer expression needs expr=")
    return Formula(parse_expression(options.pop("expr"), (VARIABLE,)))


METHODS: dict[str, Callable[[dict[str, str]], Normalizer]] = {
    "log10": _log10,
    "zscore": _zscore,
    "minmax": _minmax,
    "expression": _formula,
}


def _options(text: str) -> dict[str, str]:
    # A formula may hold commas and equal signs itself, so expr= takes all that follows it.
    head, found, formula = text.partition("expr=")
    pairs = [part.partition("=") for part in head.split(",") if part.strip()]
    options = {key.strip(): value.strip() for key, _, value in pairs}
    return {**options, "expr": formula} if found else options


def parse_normalizer(text: str) -> Normalizer | None:
    """The normalizer a config asks for; None for "".

    Raises:
        ConfigError: unknown method or key, or a missing or wrong number.
    """
    if not text.strip():
        return None
    options = _options(text)
    method = options.pop("method", "")
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"normalizer method {method!r} is unknown; known are {', '.join(METHODS)}{hint}")
    normalizer = METHODS[method](options)
    if options:
        raise ConfigError(f"normalizer {method} does not know {', '.join(options)}")
    return normalizer
