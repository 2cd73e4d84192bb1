"""Labels and sample weights: columns of a record batch as NumPy arrays for the flat block."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tzx.runtime.errors import DataError
from tzx.runtime.features.arrays import sums_before

Array = npt.NDArray[Any]


class RowError(DataError):
    """Bad data in row number `row` of the batch at hand; the loader adds where in the files that is."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def check_types(schema: pa.Schema, labels: Sequence[str], weights: Sequence[str]) -> None:
    """Refuse label and weight columns of types that cannot be used, all at once."""
    problems = []
    for name in labels:
        kind = schema.field(name).type
        inner = kind.value_type if pa.types.is_list(kind) else kind
        if not _is_number(inner):
            problems.append(f"label column {name!r} has type {kind}; a label is an integer, a float or a list of them")
    for name in weights:
        kind = schema.field(name).type
        if not _is_number(kind):
            problems.append(f"sample weight column {name!r} has type {kind}; a weight is a float")
    if problems:
        raise DataError("\n".join([*problems, "for CSV give the type in data_config.input_fields"]))


def label_columns(batch: pa.RecordBatch, labels: Sequence[str]) -> Iterator[tuple[str, list[Array]]]:
    """Sections of the flat block for the labels: integers as int64, floats as float32, lists as values and lengths.

    Raises:
        RowError: a label is null or NaN.
    """
    for name in labels:
        column = batch.column(name)
        _refuse_null(column, f"label {name!r}")
        if pa.types.is_list(column.type):
            values = column.flatten()
            if values.null_count:
                owner = pc.list_parent_indices(column)[_first_null(values)].as_py()
                raise RowError(f"label {name!r} has a null in its list", owner)
            lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
            _refuse_nan(column, f"label {name!r}")
            yield f"label_values/{name}", [_numbers(values)]
            yield f"label_lengths/{name}", [lengths.astype(np.int32, copy=False)]
        else:
            _refuse_nan(column, f"label {name!r}")
            yield f"label/{name}", [_numbers(column)]


def weight_columns(batch: pa.RecordBatch, weights: Sequence[str]) -> Iterator[tuple[str, list[Array]]]:
    """Sections of the flat block for sample weights, float32.

    Raises:
        RowError: a weight is null or NaN.
    """
    for name in weights:
        column = batch.column(name)
        _refuse_null(column, f"sample weight {name!r}")
        _refuse_nan(column, f"sample weight {name!r}")
        yield f"sample_weight/{name}", [_to_numpy(column).astype(np.float32, copy=False)]


def _refuse_null(column: pa.Array, what: str) -> None:
    if column.null_count:
        raise RowError(f"{what} is null; fill it or leave the row out", _first_null(column))


def _refuse_nan(column: pa.Array, what: str) -> None:
    """One NaN would make every parameter of the model NaN."""
    values = column.flatten() if pa.types.is_list(column.type) else column
    if not pa.types.is_floating(values.type):
        return
    bad = np.isnan(_to_numpy(values))
    if bad.any():
        at = int(np.argmax(bad))
        row = at if values is column else pc.list_parent_indices(column)[at].as_py()
        raise RowError(f"{what} is NaN; fill it or leave the row out", row)


def _first_null(column: pa.Array) -> int:
    return int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))


def _numbers(column: pa.Array) -> Array:
    kind = np.float32 if pa.types.is_floating(column.type) else np.int64
    return _to_numpy(column).astype(kind, copy=False)


def _to_numpy(column: pa.Array) -> Array:
    return column.to_numpy(zero_copy_only=False)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def cut_columns(columns: Mapping[str, list[Array]], bounds: Sequence[int]) -> list[dict[str, list[Array]]]:
    """Sections of rows [bounds[0], bounds[1]), [bounds[1], bounds[2]) ..., uncopied."""
    pieces: list[dict[str, list[Array]]] = [{} for _ in bounds[1:]]
    for name, (array,) in columns.items():
        lengths = columns.get(name.replace("label_values/", "label_lengths/", 1), [array])[0]
        spans = bounds if lengths is array else sums_before(lengths, bounds)
        for piece, (first, stop) in zip(pieces, pairwise(spans), strict=True):
            piece[name] = [array[first:stop]]
    return pieces
