"""The functions a formula may use on whole vectors, one number per slot. Slots are never empty."""

import numpy as np

from tzx.runtime.features.expression.functions import Function
from tzx.runtime.features.expression.vectors import Array, Vectors


def _total(values: Array, of: Vectors) -> Array:
    """Sum per slot of values that lie as those of `of`."""
    return _fold(np.add, values, of)


def _fold(combine: np.ufunc, values: Array, of: Vectors) -> Array:
    return combine.reduceat(values, of.starts) if len(of.lengths) else np.zeros(0)


def _mean(of: Vectors) -> Array:
    return _total(of.values, of) / of.lengths


def _deviations(of: Vectors) -> Array:
    return of.values - np.repeat(_mean(of), of.lengths)


def _variance(of: Vectors, lost: int) -> Array:
    """Sum of squared deviations over count - `lost`; 0 for a single value."""
    return _total(_deviations(of) ** 2, of) / np.maximum(of.lengths - lost, 1)


def _correlation(a: Vectors, b: Vectors) -> Array:
    """Pearson's coefficient; 0 where one of the vectors is constant."""
    da, db = _deviations(a), _deviations(b)
    scale = np.sqrt(_total(da * da, a) * _total(db * db, b))
    return np.where(scale == 0, 0.0, _total(da * db, a) / np.where(scale == 0, 1.0, scale))


REDUCTIONS = {
    "len": Function(lambda a: a.lengths.astype(np.float64)),
    "l2_norm": Function(lambda a: np.sqrt(_total(a.values**2, a))),
    "squared_norm": Function(lambda a: _total(a.values**2, a)),
    "dot": Function(lambda a, b: _total(a.values * b.values, a), 2, 2),
    "euclid_dist": Function(lambda a, b: np.sqrt(_total((a.values - b.values) ** 2, a)), 2, 2),
    "corr": Function(_correlation, 2, 2),
    "std_dev": Function(lambda a: np.sqrt(_variance(a, 1))),
    "pop_std_dev": Function(lambda a: np.sqrt(_variance(a, 0))),
    "variance": Function(lambda a: _variance(a, 1)),
    "pop_variance": Function(lambda a: _variance(a, 0)),
    "reduce_min": Function(lambda a: _fold(np.minimum, a.values, a)),
    "reduce_max": Function(lambda a: _fold(np.maximum, a.values, a)),
    "reduce_sum": Function(lambda a: _total(a.values, a)),
    "reduce_mean": Function(_mean),
    "reduce_prod": Function(lambda a: _fold(np.multiply, a.values, a)),
}
