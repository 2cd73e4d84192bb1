"""What every kind of file offers, and reading row ranges across many of them.

The rows of all files are numbered through, 0..N, in the order of the files.
"""

import difflib
import logging
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tzx.runtime.data.plan import Intervals, Rows
from tzx.runtime.data.readers.paths import InputFile
from tzx.runtime.errors import DataError, StorageError, UserError

logger = logging.getLogger("tzx")

T = TypeVar("T")

ORIGIN = b"tzx.origin"  # schema metadata that says where a record batch comes from
ATTEMPTS = 4


class FileSource(ABC):
    """One file of rows."""

    def __init__(self, file: InputFile) -> None:
        self.file = file

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns as read, in plain types."""

    @property
    @abstractmethod
    def starts(self) -> Rows:
        """First row of each unit that can be read by itself (a row group), and at the end the number of rows."""

    @abstractmethod
    def read(self, start: int, stop: int, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows start..stop of `columns`, in order, in batches of about `batch_rows`."""

    @property
    def num_rows(self) -> int:
        """Rows in the file."""
        return int(self.starts[-1])

    def place(self, row: int) -> str:
        """Where `row` is, for a message."""
        return f"{self.file.name}, row {row}"


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows as read: `rows` int64 [B] are their numbers in the data set."""

    batch: pa.RecordBatch
    rows: Rows


class Reader:
    """Rows of several files with the same columns."""

    def __init__(self, sources: Sequence[FileSource], columns: Sequence[str] | None) -> None:
        """`columns` are those to read; None means all of the first file."""
        self.sources = list(sources)
        self.schema = _common_schema(self.sources, columns)
        self.columns = self.schema.names
        self._offsets = np.concatenate([[0], np.cumsum([s.num_rows for s in self.sources], dtype=np.int64)])
        self.num_rows = int(self._offsets[-1])

    @property
    def boundaries(self) -> Rows:
        """Row numbers at which units (row groups) start, and `num_rows`; sorted, distinct."""
        starts = [source.starts + offset for source, offset in zip(self.sources, self._offsets[:-1], strict=True)]
        return np.unique(np.concatenate(starts)) if starts else np.zeros(1, np.int64)

    def read(self, ranges: Intervals, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Record batches of the row ranges [K, 2], in their order; each names its origin in the schema's metadata."""
        for chunk in self.chunks(ranges, batch_rows):
            yield self.with_origin(chunk)

    def chunks(self, ranges: Intervals, batch_rows: int) -> Iterator[Chunk]:
        """As `read`, with the number of every row. Ascending ranges within a unit are one pass over the file."""
        for number, wanted in self._passes(ranges):
            source, offset = self.sources[number], int(self._offsets[number])
            start = int(wanted[0, 0])
            for batch in _retrying(source, (start, int(wanted[-1, 1])), self.columns, batch_rows):
                rows = _wanted(wanted, start, start + batch.num_rows)
                selected = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows - start))
                start += batch.num_rows
                if len(rows):
                    yield Chunk(self._conform(source, selected), rows + offset)

    def require(self, names: Sequence[str]) -> None:
        """Raise a DataError that names those of `names` that are no columns."""
        _require(self.sources[0].file.name, self.columns, names)

    def place(self, row: int) -> str:
        """Where row number `row` of the data set is, for a message."""
        number = bisect_right(self._offsets, row) - 1
        return self.sources[number].place(row - int(self._offsets[number]))

    def with_origin(self, chunk: Chunk) -> pa.RecordBatch:
        """The chunk's batch, with its origin in the metadata."""
        return chunk.batch.replace_schema_metadata({ORIGIN: self.origin(chunk.rows).encode()})

    def origin(self, rows: Rows) -> str:
        """Where the first row is, if the rows are consecutive rows of one file; otherwise the files."""
        if not len(rows):
            return "no rows"
        first, last = (bisect_right(self._offsets, int(row)) - 1 for row in (rows[0], rows[-1]))
        if first == last and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
            return self.place(int(rows[0]))
        numbers = np.unique(np.searchsorted(self._offsets, rows, side="right") - 1)
        names = [self.sources[n].file.name for n in numbers[:3]]
        return ", ".join(names) + (f" and {len(numbers) - 3} more" if len(numbers) > 3 else "")

    def _passes(self, ranges: Intervals) -> Iterator[tuple[int, Intervals]]:
        """Cut `ranges` at file ends, number rows within the file, and join those that one pass can serve."""
        current, wanted = -1, list[tuple[int, int]]()
        for number, start, stop in self._by_file(ranges):
            if wanted and not (number == current and self._same_pass(number, wanted[-1][1], start)):
                yield current, np.array(wanted, np.int64)
                wanted = []
            current = number
            wanted.append((start, stop))
        if wanted:
            yield current, np.array(wanted, np.int64)

    def _by_file(self, ranges: Intervals) -> Iterator[tuple[int, int, int]]:
        for start, stop in ranges.tolist():
            while start < stop:
                number = bisect_right(self._offsets, start) - 1
                end = min(stop, int(self._offsets[number + 1]))
                yield number, start - int(self._offsets[number]), end - int(self._offsets[number])
                start = end

    def _same_pass(self, number: int, end: int, start: int) -> bool:
        """Whether reading on from `end` to `start` costs no more than opening the file anew at `start`."""
        if start <= end:
            return start == end
        starts = self.sources[number].starts
        return bool(np.searchsorted(starts, end, side="left") == np.searchsorted(starts, start, side="right"))

    def _conform(self, source: FileSource, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch in the columns' order and types that all files share."""
        if batch.schema.names != self.columns:
            batch = batch.select(self.columns)
        if batch.schema.types == self.schema.types:
            return batch
        try:
            columns = [pc.cast(c, t) for c, t in zip(batch.columns, self.schema.types, strict=True)]
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{source.file.name}: a column does not fit the type it has in other files: {error}"
            ) from error
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def open_all(files: Sequence[InputFile], opener: Callable[[InputFile], T]) -> list[T]:
    """Open files at once where that hides latency; errors of the first failing file are raised."""
    if len(files) == 1:
        return [opener(files[0])]
    with ThreadPoolExecutor(min(16, len(files))) as pool:
        return list(pool.map(opener, files))


def retry(action: Callable[[], T], file: InputFile) -> T:
    """Run `action`, again after I/O failures that may pass.

    Raises:
        StorageError: it kept failing.
        DataError: the file's contents are at fault.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (pa.ArrowException, OSError) as error:
            pause_or_raise(error, file, attempt)
    raise AssertionError("unreachable")


def pause_or_raise(error: Exception, file: InputFile, attempt: int) -> None:
    """Wait before another attempt, or raise what the user should see."""
    if isinstance(error, FileNotFoundError):
        raise UserError(f"{file.name}: no such file (any more)") from error
    if isinstance(error, PermissionError):
        raise UserError(f"{file.name}: no permission to read it") from error
    if not isinstance(error, OSError) or (file.is_local and error.errno is None):
        raise DataError(f"{file.name}: {_corrupt(error)}") from error
    if attempt >= ATTEMPTS:
        raise StorageError(f"{file.name}: reading failed {attempt} times: {error}") from error
    seconds = 0.5 * 2 ** (attempt - 1)
    logger.warning("%s: reading failed (%s); trying again in %.1f s", file.name, error, seconds)
    time.sleep(seconds)


def _corrupt(error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return f"the file is truncated, damaged or of another kind than data_config.dataset_type says ({reason})"


def _retrying(
    source: FileSource, span: tuple[int, int], columns: Sequence[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    start, stop = span
    attempt = 0
    while start < stop:
        try:
            for batch in source.read(start, stop, columns, batch_rows):
                start, attempt = start + batch.num_rows, 0
                yield batch
            if start < stop:
                raise DataError(
                    f"{source.place(start)}: the file ends here, but {stop} rows were counted; did it change?"
                )
        except (pa.ArrowException, OSError) as error:
            attempt += 1
            pause_or_raise(error, source.file, attempt)


def _wanted(ranges: Intervals, start: int, stop: int) -> Rows:
    """The rows of start..stop that lie in the ascending `ranges`."""
    first = int(np.searchsorted(ranges[:, 1], start, side="right"))
    last = int(np.searchsorted(ranges[:, 0], stop, side="left"))
    pieces = [np.arange(max(a, start), min(b, stop)) for a, b in ranges[first:last].tolist()]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)


def _common_schema(sources: Sequence[FileSource], columns: Sequence[str] | None) -> pa.Schema:
    """The wanted columns with types wide enough for every file."""
    names = list(dict.fromkeys(columns)) if columns is not None else sources[0].schema.names
    schemas: dict[pa.Schema, FileSource] = {}
    for source in sources:
        if source.schema not in schemas:
            _require(source.file.name, source.schema.names, names)
            schemas[source.schema] = source
    common = pa.schema([sources[0].schema.field(n) for n in names])
    for schema, source in schemas.items():
        try:
            selected = pa.schema([schema.field(n) for n in names])
            common = pa.unify_schemas([common, selected], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            text = f"{source.file.name} and {sources[0].file.name} have columns of different types: {error}"
            raise DataError(text) from error
    return pa.schema([pa.field(f.name, f.type) for f in common])


def _require(place: str, available: Sequence[str], names: Sequence[str]) -> None:
    problems = []
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            problems.append(f"{place}: no column {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    if problems:
        shown = ", ".join(available[:30]) + (f" and {len(available) - 30} more" if len(available) > 30 else "")
        raise DataError("\n".join([*problems, f"{place} has the columns: {shown}"]))
