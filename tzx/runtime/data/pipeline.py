"""From rows in order to batches in the same order, with or without worker processes."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.labels import RowError
from tzx.runtime.data.ordered import in_order
from tzx.runtime.data.packing import Block, unpack
from tzx.runtime.data.readers import Chunk, Reader
from tzx.runtime.data.transform import Transform
from tzx.runtime.data.tuning import Hands
from tzx.runtime.data.workers import Worker, WorkerPool
from tzx.runtime.errors import DataError


@dataclass
class _Task:
    """Rows on their way: made here already, or by a worker."""

    chunk: Chunk
    batch: Batch | None
    worker: Worker | None


class Pipeline:
    """Applies a transform to chunks of rows."""

    def __init__(self, reader: Reader, transform: Transform, pinned: bool, seed: tuple[int, ...]) -> None:
        """`pinned` puts batches into page-locked memory; `seed` is what random masks depend on besides the rows."""
        self._reader, self._transform, self._pinned, self._seed = reader, transform, pinned, seed

    def run(
        self, chunks: Iterator[Chunk], consumed: int, pool: WorkerPool, wanted: Callable[[], Hands]
    ) -> Iterator[tuple[Chunk, Batch]]:
        """Batches with the chunks they are made of; `consumed` rows came before.

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
                    yield from self._run_in(pool, part)
                else:
                    made = in_order(lambda task: self._make(*task), part, hands.threads)
                    yield from ((chunk, batch) for (chunk, _), batch in made)
        except BaseException:
            pool.close()
            raise

    def _run_in(self, pool: WorkerPool, numbered: Iterator[tuple[Chunk, int]]) -> Iterator[tuple[Chunk, Batch]]:
        tasks: deque[_Task] = deque()
        for chunk, consumed in numbered:
            while len(tasks) >= pool.capacity or (tasks and self._is_done(tasks[0])):
                yield self._finish(tasks.popleft())
            worker = pool.free()
            if worker is None:  # none has started yet, so the first batches do not wait for them
                tasks.append(_Task(chunk, self._make(chunk, consumed), None))
            else:
                worker.give(chunk.batch, (*self._seed, consumed))
                tasks.append(_Task(chunk, None, worker))
        while tasks:
            yield self._finish(tasks.popleft())

    def _is_done(self, task: _Task) -> bool:
        return task.worker is None or task.worker.has_result

    def _finish(self, task: _Task) -> tuple[Chunk, Batch]:
        if task.worker is None:
            assert task.batch is not None
            return task.chunk, task.batch
        try:
            contents, block = task.worker.take(self._pinned)
        except DataError as error:
            raise self._located(error, task.chunk) from error
        return task.chunk, unpack(contents, block, self._transform.layout)

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
