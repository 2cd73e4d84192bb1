"""Writers of record batches: one part file per process, which gets its name only when it is whole."""

import contextlib
import os
import posixpath
import uuid
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from pyarrow import csv

from tzx.runtime.data.readers.json_text import to_json
from tzx.runtime.data.readers.parquet import plain_type
from tzx.runtime.errors import DataError, StorageError, UserError

WriterKind = Literal["parquet", "csv"]


def open_writer(kind: WriterKind, directory_or_url: str, rank: int, overwrite: bool = False) -> "Writer":
    """Start writing `part-<rank>.<kind>` in a folder, which is made if it does not exist.

    Raises:
        UserError: the part is there already and `overwrite` is not set, or the kind or place is not usable.
    """
    if kind not in _WRITERS:
        raise UserError(f"writer {kind!r} is unknown; there are {', '.join(_WRITERS)}")
    return _WRITERS[kind](_Part(directory_or_url, f"part-{rank}.{kind}", overwrite))


class Writer(ABC):
    """Appends record batches of one schema to a file that appears on `close`."""

    def __init__(self, part: "_Part") -> None:
        self._part = part
        self._sink: Any = None
        self._schema: pa.Schema | None = None

    @property
    def path(self) -> str:
        """Where the part will lie."""
        return self._part.name

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows. The first batch fixes the columns."""
        batch = self._prepare(batch.replace_schema_metadata(None))
        if self._schema is None:
            self._schema = batch.schema
            self._sink = self._open(self._part.open(), batch.schema)
        if batch.schema != self._schema:
            raise DataError(f"{self.path}: a batch has the columns {_show(batch)}, the first had {_show(self._schema)}")
        self._part.guard(lambda: self._sink.write_batch(batch))

    def close(self) -> None:
        """Finish the file and give it its name; without rows there is no file."""
        if self._sink is None:
            return
        try:
            self._part.guard(self._sink.close)
            self._part.publish()
        except BaseException:
            self.abort()
            raise
        self._sink = None

    def abort(self) -> None:
        """Leave nothing behind."""
        self._sink = None
        self._part.discard()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    @abstractmethod
    def _open(self, stream: BinaryIO, schema: pa.Schema) -> Any:
        """An Arrow writer onto `stream`."""


class ParquetWriter(Writer):
    """Parquet, with any column type that Parquet has."""

    def _open(self, stream: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(stream, schema, compression="zstd")


class CsvWriter(Writer):
    """CSV with a header; lists and maps, nested as they may be, become JSON text."""

    def _open(self, stream: BinaryIO, schema: pa.Schema) -> csv.CSVWriter:
        return csv.CSVWriter(stream, schema)

    def _prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        plain = [c.cast(plain_type(c.type)) for c in batch.columns]
        columns = [to_json(c) if pa.types.is_nested(c.type) else c for c in plain]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


_WRITERS: dict[str, type[Writer]] = {"parquet": ParquetWriter, "csv": CsvWriter}


class _Part:
    """A file under a temporary name until it is published."""

    def __init__(self, directory: str, name: str, overwrite: bool) -> None:
        try:
            self._fs, folder = url_to_fs(directory)
        except (ImportError, ValueError) as error:
            raise UserError(f"output path {directory}: {error}") from error
        self._path = posixpath.join(folder, name)
        # The name starts with a dot, by which readers of folders and globs know that it is not data.
        self._temporary = posixpath.join(folder, f".{name}.{uuid.uuid4().hex[:8]}.tmp")
        self.name = posixpath.join(directory.rstrip("/"), name)
        self._stream: Any = None
        if not overwrite and self._fs.exists(self._path):
            raise UserError(f"{self.name} is there already; remove it or choose another output path")
        self.guard(lambda: self._fs.makedirs(folder, exist_ok=True))

    def open(self) -> BinaryIO:
        """The stream to write to."""
        self._stream = self.guard(lambda: self._fs.open(self._temporary, "wb"))
        return self._stream

    def publish(self) -> None:
        """Flush, and give the file its name."""
        self.guard(self._publish)

    def discard(self) -> None:
        """Remove what has been written."""
        if self._stream is not None:
            with contextlib.suppress(OSError):  # it flushes first, which fails again on a full disk
                self._stream.close()
            self._stream = None
        if self._fs.exists(self._temporary):
            self._fs.rm(self._temporary)

    def guard(self, action: Any) -> Any:
        """Run `action`; failures name the file."""
        try:
            return action()
        except PermissionError as error:
            raise UserError(f"{self.name}: no permission to write there") from error
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{self.name}: its folder is a file") from error
        except OSError as error:
            raise StorageError(f"{self.name}: writing failed: {error}") from error
        except pa.ArrowException as error:
            raise DataError(f"{self.name}: a column cannot be written: {error}") from error

    def _publish(self) -> None:
        if isinstance(self._fs, LocalFileSystem):
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream = None
        if isinstance(self._fs, LocalFileSystem):
            os.replace(self._temporary, self._path)
        else:
            self._fs.mv(self._temporary, self._path)


def _show(schema: pa.Schema | pa.RecordBatch) -> str:
    schema = schema if isinstance(schema, pa.Schema) else schema.schema
    return ", ".join(f"{f.name}: {f.type}" for f in schema)
