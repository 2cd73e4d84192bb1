"""The functions and operators a formula may use value by value, all over float64 arrays that broadcast.

Truth is a number: comparisons give 1 or 0, and any number but 0 is true.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tzx.runtime.features.expression.vectors import Array

EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True)
class Function:
    """A call on `least` to `most` arguments (None: any number)."""

    call: Callable[..., Array]
    least: int = 1
    most: int | None = 1


def arity(least: int, most: int | None) -> str:
    """How many arguments a function takes, in words."""
    if most is None:
        return f"{least} or more arguments"
    return f"{least or 'no'} argument" + ("" if least == 1 else "s")


def _number(truth: npt.NDArray[np.bool_]) -> Array:
    return np.asarray(truth, np.float64)


def round_half_away(x: Array) -> Array:
    """Nearest integer, halves away from zero."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def round_to(x: Array, digits: Array) -> Array:
    """Nearest number with `digits` decimals."""
    scale = np.power(10.0, digits)
    return round_half_away(x * scale) / scale


def sphere_distance(lng1: Array, lat1: Array, lng2: Array, lat2: Array) -> Array:
    """Great-circle distance in km between two points in degrees, by the haversine formula."""
    lng1, lat1, lng2, lat2 = (np.radians(value) for value in (lng1, lat1, lng2, lat2))
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lng2 - lng1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0)))


def _sum(*values: Array) -> Array:
    return reduce(np.add, values)


UNARY: dict[str, Callable[[Array], Array]] = {
    "isnan": lambda x: _number(np.isnan(x)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "log2": np.log2,
    "log10": np.log10,
    "log": np.log,
    "ln": np.log,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "abs": np.abs,
    "rint": np.rint,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": round_half_away,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}

FUNCTIONS = {
    **{name: Function(call) for name, call in UNARY.items()},
    "roundp": Function(round_to, 2, 2),
    "mod": Function(np.fmod, 2, 2),
    "sphere_dist": Function(sphere_distance, 4, 4),
    "haversine": Function(sphere_distance, 4, 4),
    "min": Function(lambda *values: reduce(np.minimum, values), 1, None),
    "max": Function(lambda *values: reduce(np.maximum, values), 1, None),
    "sum": Function(_sum, 1, None),
    "avg": Function(lambda *values: _sum(*values) / len(values), 1, None),
}

CONSTANTS = {"_pi": float(np.pi), "_e": float(np.e)}

Truths = npt.NDArray[np.bool_]
# Operators that say true or false, for who asks for no more.
TRUTHS: dict[str, Callable[[Any, Any], Truths]] = {
    **{name: lambda a, b: (a != 0) | (b != 0) for name in ("||", "|")},
    **{name: lambda a, b: (a != 0) & (b != 0) for name in ("&&", "&")},
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "!=": np.not_equal,
    "==": np.equal,
    "<": np.less,
    ">": np.greater,
}


def _as_number(truth: Callable[[Array, Array], Truths]) -> Callable[[Array, Array], Array]:
    return lambda a, b: _number(truth(a, b))


# Operators by rising precedence; those of one level group to the left.
BINARY: tuple[dict[str, Callable[[Array, Array], Array]], ...] = (
    {name: _as_number(TRUTHS[name]) for name in ("||", "|")},
    {name: _as_number(TRUTHS[name]) for name in ("&&", "&")},
    {name: _as_number(TRUTHS[name]) for name in ("<=", ">=", "!=", "==", "<", ">")},
    {"+": np.add, "-": np.subtract},
    {"*": np.multiply, "/": np.divide},
)
