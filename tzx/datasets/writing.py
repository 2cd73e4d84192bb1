"""Writing prepared tables: Parquet or CSV, whole tables or chunk by chunk, never leaving half a file.

List columns stay lists in Parquet and become `;`-separated strings in CSV, which knows no lists; the feature engine
reads both alike.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

SEQUENCE_DELIMITER = ";"
FORMATS = ("parquet", "csv")
# Small enough that several readers find work in a file of a few ten thousand rows.
ROW_GROUP_ROWS = 65_536


class _TableWriter(Protocol):
    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


def write_table(table: pa.Table, path: Path, file_format: str) -> Path:
    """Write a whole table to `path` plus the format's suffix."""
    return write_chunks([table], table.schema, path, file_format)


def write_chunks(chunks: Iterable[pa.Table], schema: pa.Schema, path: Path, file_format: str) -> Path:
    """Write tables of one schema after each other into one file, holding one of them at a time."""
    target = path.with_name(f"{path.name}.{file_format}")
    with _replacing(target) as temporary, _open(temporary, schema, file_format) as writer:
        for chunk in chunks:
            writer.write_table(_for_csv(chunk) if file_format == "csv" else chunk)
    return target


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place once the block succeeded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _open(path: Path, schema: pa.Schema, file_format: str) -> Iterator[_TableWriter]:
    if file_format == "csv":
        writer = pa.csv.CSVWriter(path, pa.schema([_csv_field(field) for field in schema]))
    else:
        writer = _RowGroups(pq.ParquetWriter(path, schema, compression="zstd"))
    try:
        yield writer
    finally:
        writer.close()


class _RowGroups:
    """Parquet writer that bounds the rows of a row group."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def close(self) -> None:
        self._writer.close()


def _csv_field(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if pa.types.is_list(field.type) else field


def _for_csv(table: pa.Table) -> pa.Table:
    columns = [_joined(column) if pa.types.is_list(column.type) else column for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _joined(column: pa.ChunkedArray) -> pa.ChunkedArray:
    as_text = pc.cast(column, pa.list_(pa.string()))
    return pc.binary_join(as_text, SEQUENCE_DELIMITER)
