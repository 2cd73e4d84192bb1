"""CSV files: row counts and starting points come from one pass over the bytes, types from the config or a sample.

A piece of some thousands of rows is parsed at a time, so that memory stays bounded, any row is cheap to reach, and
Arrow's row numbers in errors can be told as rows of the file.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import csv

from tzx.runtime.data.plan import Rows
from tzx.runtime.data.readers.csv_index import CHUNK, CsvIndex, build_index
from tzx.runtime.data.readers.csv_types import settle_types, typed
from tzx.runtime.data.readers.fields import input_fields
from tzx.runtime.data.readers.paths import InputFile
from tzx.runtime.data.readers.source import FileSource, open_all, retry
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.protos import data_pb2

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".csv.bz2", ".csv.zst")

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_SAMPLED_FILES = 4
_LARGEST_PIECE = 1 << 30


@dataclass(frozen=True)
class Dialect:
    """How the files are written, from the config."""

    delimiter: str
    with_header: bool
    fields: Mapping[str, pa.DataType | None]
    labels: frozenset[str]

    @staticmethod
    def of(config: data_pb2.DataConfig) -> "Dialect":
        """Read it from `data_config`."""
        if len(config.delimiter.encode()) != 1:
            raise ConfigError(f"data_config.delimiter: {config.delimiter!r} is not a single byte")
        fields = input_fields(config)
        if not config.with_header and not fields:
            raise ConfigError("data_config: CSV files without a header need input_fields; or set with_header: true")
        return Dialect(config.delimiter, config.with_header, fields, frozenset(config.label_fields))


def open_csv_files(
    files: Sequence[InputFile], config: data_pb2.DataConfig, columns: Sequence[str] | None
) -> list["CsvSource"]:
    """Count rows, and settle on one type for every column."""
    dialect = Dialect.of(config)
    opened = open_all(files, lambda file: CsvSource(file, dialect))
    sources = [s for s in opened if s.names]  # others are empty, as some writers leave parts without rows
    if not sources:
        raise DataError(f"{files[0].name}: the file is empty; it has not even a header")
    sampled = [s for s in sources if s.num_rows]
    wanted = set(columns) if columns is not None else {name for s in sources for name in s.names}
    settle_types([*sampled[:_SAMPLED_FILES], *sampled[_SAMPLED_FILES:][-1:]], sources, wanted)
    return sources


class _Input:
    """Bytes of a file, decompressed; a compressed one is read forward only."""

    def __init__(self, file: InputFile, compression: str | None) -> None:
        raw = file.open()
        self._stream = pa.CompressedInputStream(raw, compression) if compression else raw
        self._position = 0

    def __enter__(self) -> "_Input":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def read_at(self, start: int, stop: int) -> bytes:
        """Bytes start..stop."""
        if self._stream.seekable():
            self._stream.seek(start)
        else:
            while self._position < start and self.read(min(CHUNK, start - self._position)):
                pass
        return self.read(stop - start)


class CsvSource(FileSource):
    """One CSV file."""

    def __init__(self, file: InputFile, dialect: Dialect) -> None:
        """Scan the file once, for its rows and a sample."""
        super().__init__(file)
        self.dialect = dialect
        self._compression = next((c for s, c in _COMPRESSIONS.items() if file.path.endswith(s)), None)
        self._index: CsvIndex = retry(self._scan, file)
        self.names: list[str] = retry(self._read_names, file)
        self.types: Mapping[str, pa.DataType] = {}

    @property
    def schema(self) -> pa.Schema:  # noqa: D102
        return pa.schema([pa.field(name, self.types[name]) for name in self.names])

    @property
    def starts(self) -> Rows:  # noqa: D102
        # A compressed file can only be read from its start, so it is one unit.
        return self._index.rows if self._compression is None else self._index.rows[[0, -1]]

    def read(self, start: int, stop: int, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:  # noqa: D102
        first = int(np.searchsorted(self._index.rows, start, side="right")) - 1
        last = int(np.searchsorted(self._index.rows, stop, side="left"))
        types = {name: self.types[name] for name in columns}
        with self._open() as stream:
            for piece in range(first, last):
                table = self._parse(stream, piece, columns, types)
                low = max(0, start - int(self._index.rows[piece]))
                high = min(table.num_rows, stop - int(self._index.rows[piece]))
                for batch in table.slice(low, high - low).to_batches(max_chunksize=batch_rows):
                    yield typed(batch, types, self.file.name)

    def sample(self, columns: Collection[str]) -> list[pa.Table]:
        """The first and the last piece in declared types, or else in the types that their text suggests."""
        names = [n for n in self.names if n in columns]
        types = {n: t for n, t in self.dialect.fields.items() if t is not None}
        with self._open() as stream:
            pieces = sorted({0, len(self._index.rows) - 2})
            return [self._parse(stream, piece, names, types) for piece in pieces]

    def _scan(self) -> CsvIndex:
        with self._open() as stream:
            index = build_index(stream.read, self.dialect.delimiter, self.dialect.with_header)
        longest = int(np.argmax(np.diff(index.offsets))) if len(index.rows) > 1 else 0
        if len(index.rows) > 1 and index.offsets[longest + 1] - index.offsets[longest] > _LARGEST_PIECE:
            place = self.place(int(index.rows[longest]))
            raise DataError(f"{place}: a row of more than 1 GiB starts about here; is a quote not closed?")
        return index

    def _read_names(self) -> list[str]:
        fields = self.dialect.fields
        with self._open() as stream:
            if self.dialect.with_header:
                start, stop = self._index.header
                names = _split_line(stream.read_at(start, stop), self.dialect.delimiter)
            else:
                names = list(fields)
                self.names = names
                self._check_first_row(stream, names)
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise DataError(f"{self.file.name}: the header names {', '.join(twice)} more than once")
        return names

    def _check_first_row(self, stream: _Input, names: Sequence[str]) -> None:
        if not self.num_rows:
            return
        table = self._parse(stream, 0, names, dict.fromkeys(names, pa.string()))
        if [table.column(n)[0].as_py() for n in names] == list(names):
            raise DataError(
                f"{self.file.name}: the first row holds the column names; set data_config.with_header: true"
            )

    def _open(self) -> _Input:
        return _Input(self.file, self._compression)

    def _parse(self, stream: _Input, piece: int, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        """Rows of one piece; nested columns stay text."""
        start, stop = int(self._index.rows[piece]), int(self._index.rows[piece + 1])
        data = stream.read_at(int(self._index.offsets[piece]), int(self._index.offsets[piece + 1]))
        texts = {n: pa.string() if pa.types.is_nested(t) else t for n, t in types.items()}
        try:
            table = csv.read_csv(
                pa.BufferReader(data),
                csv.ReadOptions(column_names=self.names, block_size=len(data) + 1, use_threads=False),
                csv.ParseOptions(delimiter=self.dialect.delimiter, newlines_in_values=self._index.quoted),
                csv.ConvertOptions(column_types=texts, include_columns=list(columns)),
            )
        except pa.ArrowInvalid as error:
            raise self._explain(error, start) from error
        if table.num_rows != stop - start:
            place = self.place(start)
            raise DataError(
                f"{place}: {table.num_rows} rows follow where {stop - start} were counted; did the file change?"
            )
        return table

    def _explain(self, error: pa.ArrowInvalid, start: int) -> DataError:
        """Arrow's message with the row numbered in the file and the column named."""
        text = str(error).splitlines()[0]
        row = re.search(r"Row #(\d+): ", text)
        column = re.search(r"In CSV column #(\d+): ", text)
        place = self.place(start + int(row[1]) - 1) if row else f"{self.file.name}, rows from {start}"
        if column:
            name = self.names[int(column[1])]
            hint = f"give column {name} its type in data_config.input_fields, or mend the value"
            return DataError(f"{place}, column {name}: {text.rpartition(': CSV ')[2]}; {hint}")
        return DataError(f"{place}: {text.rpartition('#')[2].partition(': ')[2] or text}")


def _split_line(line: bytes, delimiter: str) -> list[str]:
    if not line.strip():
        return []
    options = csv.ReadOptions(autogenerate_column_names=True, use_threads=False)
    line += b"\n"  # without it Arrow sees no row; an empty line more is none
    table = csv.read_csv(pa.BufferReader(line), options, csv.ParseOptions(delimiter=delimiter, newlines_in_values=True))
    return [str(column[0].as_py() or "").strip() for column in table.columns]
