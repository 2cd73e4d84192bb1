"""Parquet files: units are row groups; row counts come from the footer."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tzx.runtime.data.plan import Rows
from tzx.runtime.data.readers.paths import InputFile
from tzx.runtime.data.readers.source import FileSource, retry
from tzx.runtime.errors import DataError

SUFFIXES = (".parquet", ".pq", ".parq")


class ParquetSource(FileSource):
    """One Parquet file. Only its footer stays in memory; the file is opened anew for every read."""

    def __init__(self, file: InputFile, threads: bool = False) -> None:
        """`threads` lets Arrow decode columns on several cores."""
        super().__init__(file)
        self._threads = threads
        if file.size == 0 and file.is_local:
            raise DataError(f"{file.name}: the file is empty (0 bytes); a Parquet file has at least a footer")
        self._metadata: pq.FileMetaData = retry(self._read_footer, file)
        groups = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)]).astype(np.int64)
        self._raw_schema = self._metadata.schema.to_arrow_schema()
        self._schema = pa.schema([pa.field(f.name, plain_type(f.type)) for f in self._raw_schema])

    @property
    def schema(self) -> pa.Schema:  # noqa: D102
        return self._schema

    @property
    def starts(self) -> Rows:  # noqa: D102
        return self._starts

    def read(self, start: int, stop: int, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:  # noqa: D102
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        row = int(self._starts[first])
        with self.file.open() as handle:
            parquet = pq.ParquetFile(handle, metadata=self._metadata, pre_buffer=not self.file.is_local)
            groups = range(first, last)
            for batch in parquet.iter_batches(batch_rows, groups, list(columns), use_threads=self._threads):
                low, high = max(start - row, 0), min(stop - row, batch.num_rows)
                row += batch.num_rows
                if low < high:
                    yield self._plain(batch.slice(low, high - low))

    def place(self, row: int) -> str:  # noqa: D102
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"{self.file.name}, row group {group}, row {row}"

    def _read_footer(self) -> pq.FileMetaData:
        with self.file.open() as handle:
            return pq.ParquetFile(handle).metadata

    def _plain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if all(field.type == plain_type(field.type) for field in batch.schema):
            return batch
        columns = [pc.cast(c, plain_type(c.type)) for c in batch.columns]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The simplest type that holds the same values: no dictionaries, views, large offsets or extension types."""
    if isinstance(kind, pa.ExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if _is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    return kind


def _is_list(kind: Any) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    return any(check(kind) for check in checks)
