"""Sparse optimizers in float64, a row at a time, from the formulas of the papers as FBGEMM applies them to rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Row = np.ndarray
States = dict[str, np.ndarray]


def update_table(
    kind: str, table: np.ndarray, gradient: np.ndarray, touched: set[int], states: States, options: Mapping[str, Any]
) -> None:
    """One step on the touched rows of a table, in place; states are made on the first step.

    Args:
        kind: field of SparseOptimizer without "_optimizer".
        table: weights, float64.
        gradient: of the same shape.
        touched: rows that the batch has ids of.
        states: by name, with an entry "step".
        options: lr and the other hyperparameters.
    """
    states.setdefault("step", np.zeros(()))
    states["step"] += 1
    for row in touched:
        _UPDATES[kind](table[row], gradient[row], _row_states(states, table, row), options, int(states["step"]))


def _row_states(states: States, table: np.ndarray, row: int) -> dict[str, np.ndarray]:
    for name, shape in (("m", table.shape), ("v", table.shape), ("s", (len(table), 1))):
        states.setdefault(name, np.zeros(shape))
    return {name: states[name][row] for name in ("m", "v", "s")}


def _sgd(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    w -= o["lr"] * g


def _adagrad(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    s["v"] += g**2
    w -= o["lr"] * g / (np.sqrt(s["v"]) + 1e-8)


def _rowwise_adagrad(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    decay, mode = o.get("weight_decay", 0.0), o.get("weight_decay_mode", "NONE")
    if mode == "L2":
        g = g + decay * w
    s["s"] += np.mean(g**2)
    if mode == "DECOUPLE":
        w *= 1 - o["lr"] * decay
    w -= o["lr"] * g / (np.sqrt(s["s"]) + 1e-8)


def _adam(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    w -= o["lr"] * (_direction(g, s, o, t, "v") + o.get("weight_decay", 0.0) * w)


def _partial_rowwise_adam(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    w -= o["lr"] * (_direction(g, s, o, t, "s") + o.get("weight_decay", 0.0) * w)


def _lamb(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int, second: str = "v") -> None:
    change = _direction(g, s, o, t, second) + o.get("weight_decay", 0.0) * w
    length = np.linalg.norm(change)
    w -= o["lr"] * change * (np.linalg.norm(w) / length if length else 0.0)


def _partial_rowwise_lamb(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    _lamb(w, g, s, o, t, "s")


def _lars_sgd(w: Row, g: Row, s: States, o: Mapping[str, Any], t: int) -> None:
    decay, norm = o.get("weight_decay", 0.0), np.linalg.norm(w)
    below = np.linalg.norm(g) + decay * norm
    rate = o["lr"] * 0.001 * norm / below if below else 0.0
    s["m"][:] = o.get("momentum", 0.9) * s["m"] + rate * (g + decay * w)
    w -= s["m"]


def _direction(g: Row, s: States, o: Mapping[str, Any], t: int, second: str) -> Row:
    b1, b2 = o.get("beta1", 0.9), o.get("beta2", 0.999)
    s["m"][:] = b1 * s["m"] + (1 - b1) * g
    s[second][:] = b2 * s[second] + (1 - b2) * (g**2 if second == "v" else np.mean(g**2))
    return s["m"] / (1 - b1**t) / (np.sqrt(s[second] / (1 - b2**t)) + 1e-8)


_UPDATES = {
    "sgd": _sgd,
    "adagrad": _adagrad,
    "rowwise_adagrad": _rowwise_adagrad,
    "adam": _adam,
    "partial_rowwise_adam": _partial_rowwise_adam,
    "lamb": _lamb,
    "partial_rowwise_lamb": _partial_rowwise_lamb,
    "lars_sgd": _lars_sgd,
}
