"""The check that a bundle scores real rows as the trained model does."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tzx.runtime.errors import TzxError

logger = logging.getLogger("tzx")

TOLERANCE = 1e-5
_SMALL_BATCHES = (1, 7)  # sizes at which a graph that baked in a batch size would give itself away


class ParityError(TzxError):
    """The exported graph does not compute what the model computes; a fault of tzx or of a custom model."""


class _Scorer(Protocol):
    def predict(self, rows: pa.RecordBatch) -> Mapping[str, np.ndarray]: ...


def check_parity(trained: _Scorer, exported: _Scorer, rows: pa.Table) -> dict[str, Any]:
    """Score `rows` with both, in batches of several sizes.

    Differences are absolute up to a magnitude of 1 and relative above, since float32 itself is.

    Returns:
        What goes into the manifest: rows, tolerance, and the largest difference of each output.

    Raises:
        ParityError: an output differs by more than the tolerance, in shape, or in where it is not a number.
    """
    worst: dict[str, float] = {}
    undefined: set[str] = set()
    for part in _parts(rows):
        wanted, got = trained.predict(part), exported.predict(part)
        for name, reference in wanted.items():
            worst[name] = max(worst.get(name, 0.0), _difference(reference, got[name]))
            if np.isnan(reference).any():
                undefined.add(name)
    if undefined:
        logger.warning("the trained model itself predicts NaN on real rows: %s", ", ".join(sorted(undefined)))
    failed = [f"{name} differs by {value:.3g}" for name, value in worst.items() if not value <= TOLERANCE]
    if failed:
        raise ParityError(
            f"nothing was exported: on {rows.num_rows} real rows the exported graph and the trained model disagree "
            f"({'; '.join(failed)}; allowed {TOLERANCE:g})"
        )
    return {"rows": rows.num_rows, "tolerance": TOLERANCE, "max_difference": worst}


def _parts(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    for size in _SMALL_BATCHES:
        yield from rows.slice(0, size).combine_chunks().to_batches()[:1]
    yield from rows.combine_chunks().to_batches()


def _difference(reference: np.ndarray, value: np.ndarray) -> float:
    if reference.shape != value.shape or (np.isnan(reference) != np.isnan(value)).any():
        return float("inf")
    scale = np.maximum(1.0, np.abs(reference))
    with np.errstate(invalid="ignore"):  # equal infinities subtract to NaN
        difference = np.where(reference == value, 0.0, np.abs(reference - value) / scale)
    return float(np.nanmax(difference, initial=0.0))
