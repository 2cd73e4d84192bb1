"""Types of CSV columns: those the config declares, the others from samples; and text into those types."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tzx.runtime.data.readers.json_text import is_json, parse_json
from tzx.runtime.errors import DataError

if TYPE_CHECKING:
    from tzx.runtime.data.readers.csv import CsvSource

logger = logging.getLogger("tzx")


def settle_types(sampled: Sequence["CsvSource"], sources: Sequence["CsvSource"], columns: Collection[str]) -> None:
    """Give all `sources` the same type for each of `columns`, judging by those `sampled`.

    A list or map column whose text is JSON becomes what was declared; other text stays text, which feature
    generation splits at separators.
    """
    if not sources:
        return
    dialect = sources[0].dialect
    samples = [table for source in sampled for table in source.sample(columns)]
    types: dict[str, pa.DataType] = {}
    for name in dict.fromkeys(name for source in sources for name in source.names):
        found = [table.column(name) for table in samples if name in table.column_names]
        declared = dialect.fields.get(name)
        if declared is not None and pa.types.is_nested(declared):
            types[name] = declared if is_json(found) else pa.string()
        elif declared is not None:
            types[name] = declared
        else:
            types[name] = _guess(
                name, {c.type for c in found}, name in dialect.labels, name in columns and bool(samples)
            )
    for source in sources:
        source.types = types


def typed(batch: pa.RecordBatch, types: Mapping[str, pa.DataType], place: str) -> pa.RecordBatch:
    """The batch with JSON text parsed where a list or map is wanted."""
    if not any(pa.types.is_nested(t) for t in types.values()):
        return batch
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_nested(types[name]):
            try:
                column = parse_json(column, types[name])
            except (ValueError, TypeError) as error:
                raise DataError(f"{place}, column {name}: a value is no JSON text of {types[name]}: {error}") from error
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _guess(name: str, kinds: set[pa.DataType], is_label: bool, warn: bool) -> pa.DataType:
    """One type for what the samples suggest."""
    kinds = kinds - {pa.null()}
    if not kinds:
        if is_label:
            return pa.null()
        if warn:
            text = "column %s is empty in every row looked at and is read as text; give its type in input_fields"
            logger.warning(text, name)
        return pa.string()
    if kinds == {pa.int64()} or (is_label and kinds == {pa.bool_()}):
        return next(iter(kinds))
    if kinds <= {pa.int64(), pa.float64()}:
        return pa.float64()
    return pa.string()
