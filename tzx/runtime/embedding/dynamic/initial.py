"""Where the row of a new id starts: drawn from a distribution by a hash of seed, table, id and column.

So an id starts at the same place whichever process holds its row, at whatever step it comes, and if it comes again.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from tzx.runtime.embedding.dynamic.kernels import Int64, mix
from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.expressions import parse_call
from tzx.runtime.nn.initializers import make_initializer

_KINDS: dict[str, tuple[str, dict[str, float]]] = {
    "nn.init.uniform_": ("uniform", {"a": 0.0, "b": 1.0}),
    "nn.init.normal_": ("normal", {"mean": 0.0, "std": 1.0}),
    "nn.init.trunc_normal_": ("truncated", {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0}),
    "nn.init.constant_": ("constant", {"val": 0.0}),
    "nn.init.zeros_": ("constant", {}),
    "nn.init.ones_": ("constant", {}),
}


@dataclass(frozen=True)
class Initial:
    """A distribution: uniform between `low` and `high`, normal of `mean` and `std`, truncated to `low`..`high`, or
    the constant `mean`."""

    kind: Literal["uniform", "normal", "truncated", "constant"]
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 0.0


def initial_of_args(args: Any, rows: int, dim: int) -> Initial | None:
    """The distribution of `DynamicEmbInitializerArgs`; None when they name no mode."""
    bound = (1 / max(rows, 1)) ** 0.5
    std = args.std_dev if args.HasField("std_dev") else (1 / max(dim, 1)) ** 0.5
    if args.mode == "UNIFORM":
        low = args.lower if args.HasField("lower") else -bound
        return Initial("uniform", low, args.upper if args.HasField("upper") else bound)
    if args.mode == "NORMAL":
        return Initial("normal", mean=args.mean, std=std)
    if args.mode == "TRUNCATED_NORMAL":
        low = args.lower if args.HasField("lower") else args.mean - 2 * std
        return Initial("truncated", low, args.upper if args.HasField("upper") else args.mean + 2 * std, args.mean, std)
    return Initial("constant", mean=args.value) if args.mode == "CONSTANT" else None


def initial_of_text(text: str, rows: int) -> Initial:
    """The distribution that an `init_fn` names; without one the default of tables, uniform up to sqrt(1/rows) from 0.

    Raises:
        ConfigError: it depends on the whole table, which a single row cannot be drawn from.
    """
    if not text:
        bound = (1 / rows) ** 0.5
        return Initial("uniform", -bound, bound)
    make_initializer(text)
    name, _, arguments = text.partition(",")
    name = name.strip().removeprefix("torch.")
    if name not in _KINDS:
        raise ConfigError(
            f"init_fn {text!r}: rows of zch and dynamicemb tables start one at a time, as ids come; "
            f"use one of {', '.join(_KINDS)}"
        )
    kind, defaults = _KINDS[name]
    values = defaults | parse_call(f"f({arguments})").kwargs
    if kind == "uniform":
        return Initial("uniform", values["a"], values["b"])
    if kind == "constant":
        return Initial("constant", mean=values.get("val", 1.0 if name.endswith("ones_") else 0.0))
    return Initial(kind, values.get("a", 0.0), values.get("b", 0.0), values["mean"], values["std"])  # type: ignore[arg-type]


def table_seed(seed: int, table: str) -> int:
    """A number for `initial_rows` that differs from table to table."""
    return seed << 32 ^ zlib.crc32(table.encode())


def initial_rows(initial: Initial, ids: Int64, seed: int, columns: range) -> Tensor:
    """The first values of the rows of `ids`, float32 [ids, columns]."""
    if initial.kind == "constant":
        return torch.full((len(ids), len(columns)), initial.mean)
    uniform = torch.from_numpy(_uniform(ids, seed & (2**63 - 1), columns.start, len(columns)))
    if initial.kind == "uniform":
        return (initial.low + uniform * (initial.high - initial.low)).float()
    low, high = -1.0, 1.0
    if initial.kind == "truncated":
        low = math.erf((initial.low - initial.mean) / initial.std / 2**0.5)
        high = math.erf((initial.high - initial.mean) / initial.std / 2**0.5)
    return (initial.mean + initial.std * 2**0.5 * torch.erfinv(low + uniform * (high - low))).float()


def uniform_of(ids: Int64, seed: int) -> npt.NDArray[np.float64]:
    """A number inside (0, 1) for each id, which is random to anyone who does not know `seed`."""
    return _uniform(ids, seed & (2**63 - 1), 0, 1)[:, 0]


@njit(nogil=True, cache=True)
def _uniform(ids: Int64, seed: int, first: int, columns: int) -> npt.NDArray[np.float64]:
    """Numbers inside (0, 1)."""
    numbers = np.empty((len(ids), columns), np.float64)
    start = mix(seed)
    for i in range(len(ids)):
        h = mix(np.uint64(ids[i]) ^ start)
        for j in range(columns):
            bits = mix(h + np.uint64(first + j)) >> np.uint64(12)
            numbers[i, j] = (np.float64(bits) + 0.5) * 2.0**-52
    return numbers
