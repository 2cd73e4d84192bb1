"""From rows in order to batches in the same order, with or without worker processes."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.labels import RowError
from tzx.runtime.data.ordered import in_order
from tzx.runtime.data.packing import Block, unpack
from tzx.runtime.data.readers import Chunk, Reader
from tzx.runtime.data.stream import slice_rows
from tzx.runtime.data.transform import Transform
from tzx.runtime.data.tuning import Hands
from tzx.runtime.data.workers import Worker, WorkerPool
from tzx.runtime.errors import DataError


@dataclass
class _Task:
    """Rows on their way: tried here already, or given to a worker."""

    chunk: Chunk
    made: Batch | DataError | None
    worker: Worker | None


@dataclass(frozen=True)
class _Made:
    """Batches of a chunk with the rows they are made of, up to the one that could not be made, if any."""

    batches: list[tuple[Chunk, Batch]]
    error: DataError | None = None


class Pipeline:
    """Applies a transform to chunks of rows."""

    def __init__(self, reader: Reader, transform: Transform, seed: tuple[int, ...], rows: int, pinned: bool) -> None:
        """`seed` is what random masks depend on besides the rows; `pinned` puts batches into page-locked memory.

        A chunk makes batches of `rows` rows, or is one batch if that is 0.
        """
        self._reader, self._transform, self._seed = reader, transform, seed
        self._rows, self._pinned = rows, pinned

    def run(
        self, chunks: Iterator[Chunk], consumed: int, pool: WorkerPool, wanted: Callable[[], Hands]
    ) -> Iterator[tuple[Chunk, Batch]]:
        """Batches with the rows they are made of; `consumed` rows came before.

        `wanted` is asked at every chunk; where the answer changes, what is under way is finished first. Workers stay
        for the next run, unless this one is given up, which leaves results in them that nobody wants.
        """
        numbered = _numbered(chunks, consumed)
        try:
            for first in numbered:
                hands = wanted()
                part = chain([first], _while(numbered, wanted, hands))
                pool.resize(hands.workers, hands.spare)
                if hands.workers:
                    yield from self._run_in(pool, (batch for chunk in part for batch in self._split(*chunk)))
                else:
                    for _, made in in_order(lambda chunk: self._make_all(*chunk), part, hands.threads):
                        yield from made.batches
                        if made.error is not None:
                            raise made.error
        except BaseException:
            pool.close()
            raise

    def _run_in(self, pool: WorkerPool, numbered: Iterator[tuple[Chunk, int]]) -> Iterator[tuple[Chunk, Batch]]:
        tasks: deque[_Task] = deque()
        for chunk, consumed in numbered:
            while len(tasks) >= pool.capacity or (tasks and self._is_done(tasks[0])):
                yield self._finish(tasks.popleft())
            worker = pool.free()
            if worker is None:  # all are busy, or none has started yet: better than to wait for them
                tasks.append(_Task(chunk, self._try(chunk, consumed), None))
            else:
                worker.give(chunk.batch, (*self._seed, consumed))
                tasks.append(_Task(chunk, None, worker))
        while tasks:
            yield self._finish(tasks.popleft())

    def _is_done(self, task: _Task) -> bool:
        return task.worker is None or task.worker.has_result

    def _finish(self, task: _Task) -> tuple[Chunk, Batch]:
        if isinstance(task.made, DataError):
            raise task.made
        if task.made is not None:
            return task.chunk, task.made
        assert task.worker is not None
        try:
            contents, block = task.worker.take(self._pinned)
        except DataError as error:
            raise self._located(error, task.chunk) from error
        return task.chunk, unpack(contents, block, self._transform.layout)

    def _split(self, chunk: Chunk, consumed: int) -> list[tuple[Chunk, int]]:
        """The rows of each batch, with the number of rows before it."""
        rows, step = len(chunk.rows), self._rows
        if not step or rows <= step:
            return [(chunk, consumed)]
        return [(slice_rows(chunk, i, min(i + step, rows)), consumed + i) for i in range(0, rows, step)]

    def _make_all(self, chunk: Chunk, consumed: int) -> _Made:
        parts = self._split(chunk, consumed)
        if len(parts) > 1:
            with suppress(DataError):  # in which batch it is shows when these are made one by one
                return self._make_together(chunk, parts)
        made = _Made([])
        for part in parts:
            batch = self._try(*part)
            if isinstance(batch, DataError):
                return _Made(made.batches, batch)
            made.batches.append((part[0], batch))
        return made

    def _try(self, chunk: Chunk, consumed: int) -> Batch | DataError:
        """The batch, or why there is none, to be told when its turn comes."""
        try:
            return self._make(chunk, consumed)
        except DataError as error:
            return error

    def _make_together(self, whole: Chunk, parts: list[tuple[Chunk, int]]) -> _Made:
        blocks = [Block(self._pinned) for _ in parts]
        bounds = list(accumulate((len(chunk.rows) for chunk, _ in parts), initial=0))
        keys = [(*self._seed, consumed) for _, consumed in parts]
        contents = self._transform.several(whole.batch, bounds, keys, [block.allocate for block in blocks])
        batches = [unpack(c, block.tensor, self._transform.layout) for c, block in zip(contents, blocks, strict=True)]
        return _Made([(chunk, batch) for (chunk, _), batch in zip(parts, batches, strict=True)])

    def _make(self, chunk: Chunk, consumed: int) -> Batch:
        block = Block(self._pinned)
        try:
            contents, _ = self._transform(chunk.batch, (*self._seed, consumed), block.allocate)
        except DataError as error:
            raise self._located(error, chunk) from error
        return unpack(contents, block.tensor, self._transform.layout)

    def _located(self, error: DataError, chunk: Chunk) -> DataError:
        """The error with the place in the files of the row that causes it."""
        if isinstance(error, RowError):
            return DataError(f"{self._reader.place(int(chunk.rows[error.row]))}: {error}")
        return self._search(error, chunk)

    def _search(self, error: DataError, chunk: Chunk) -> DataError:
        """Halve the rows until the one is found that fails by itself, since rows may have been shuffled."""
        while len(chunk.rows) > 1:
            middle = len(chunk.rows) // 2
            halves = [
                Chunk(chunk.batch.slice(0, middle), chunk.rows[:middle]),
                Chunk(chunk.batch.slice(middle), chunk.rows[middle:]),
            ]
            failed = next(((h, e) for h in halves if (e := self._failure(h)) is not None), None)
            if failed is None:
                return error
            chunk, error = failed
        # The one row that is left says where it comes from; that it is row 0 of one row helps nobody.
        return DataError(str(self._failure(chunk) or error).replace(", row 0 (", " (", 1))

    def _failure(self, chunk: Chunk) -> DataError | None:
        try:
            self._transform.features.generate(self._reader.with_origin(chunk))
        except DataError as error:
            return error
        return None


def _numbered(chunks: Iterator[Chunk], consumed: int) -> Iterator[tuple[Chunk, int]]:
    """Every chunk with the number of rows before it."""
    for chunk in chunks:
        yield chunk, consumed
        consumed += len(chunk.rows)


def _while(
    numbered: Iterator[tuple[Chunk, int]], wanted: Callable[[], Hands], hands: Hands
) -> Iterator[tuple[Chunk, int]]:
    """Items as long as these hands are wanted; takes none that it does not give."""
    while wanted() == hands:
        item = next(numbered, None)
        if item is None:
            return
        yield item
