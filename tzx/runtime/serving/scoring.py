"""Score a data set: this process's share of the rows, in their order, into one part file.

Batches are read, scored and written in three places at once: the loader's own workers, a pool of threads that run
the model, and this thread, which takes results in order and writes them.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol, cast

import numpy as np
import pyarrow as pa
import torch

from tzx.runtime.config.problems import hint
from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.data.cores import cores_for_me
from tzx.runtime.data.loader import DataLoader, LoaderOptions
from tzx.runtime.data.writers import WriterKind, open_writer
from tzx.runtime.errors import UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.tolerance import told
from tzx.runtime.protos.data_pb2 import DatasetType
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.debugging import COLUMN, describe_rows
from tzx.runtime.serving.parts import check_output
from tzx.runtime.serving.profiling import profiled
from tzx.runtime.serving.threads import scoring_threads, threads_of_a_batch

logger = logging.getLogger("tzx")

_LINE_EVERY_SECONDS = 5.0


class Scorer(Protocol):
    """What scores batches: a Predictor, or a model straight from a checkpoint."""

    @property
    def config(self) -> EasyRecConfig: ...  # noqa: D102
    @property
    def features(self) -> FeatureSet: ...  # noqa: D102
    @property
    def layout(self) -> BatchLayout: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def output_names(self) -> tuple[str, ...]: ...  # noqa: D102
    def predict_batch(self, batch: Batch) -> dict[str, np.ndarray]: ...  # noqa: D102


@dataclass(frozen=True)
class ScoringOptions:
    """What to read, what to keep and where to write.

    `reserved_columns` are input columns to copy, or ALL_COLUMNS, or ALL_EFFECTIVE_COLUMNS (those that features read);
    `output_columns` the predictions to write, all when empty; `max_batches` a limit for each process; `with_features`
    adds a column with what the model saw; `trace_dir` is where a profile of a few batches goes; `threads`
    score batches, None as many as suit the machine.
    """

    input_path: str
    output_path: str
    reserved_columns: Sequence[str] = ()
    output_columns: Sequence[str] = ()
    batch_size: int | None = None
    max_batches: int | None = None
    writer_type: str = ""
    threads: int | None = None
    with_features: bool = False
    trace_dir: str = ""
    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1


@dataclass(frozen=True)
class ScoringSummary:
    """What one process has done; `file` is empty when it had no rows."""

    rows: int
    seconds: float
    file: str


def score(scorer: Scorer, options: ScoringOptions) -> ScoringSummary:
    """Score `options.input_path` and write `part-<rank>` into `options.output_path`.

    Raises:
        UserError: unknown columns, or an output directory that already holds parts.
        DataError: a row that does not fit; no part file is left then.
    """
    outputs = _outputs(scorer, options.output_columns)
    kind = _writer_kind(scorer.config, options.writer_type)
    check_output(options.output_path, options.rank, options.world_size)
    loader = _loader(scorer, options)
    progress = _Progress(loader.num_rows, options)
    work = partial(_score_batch, scorer, outputs, options.with_features)
    at_a_time, threads = _threads(scorer, options)
    with threads_of_a_batch(threads), closing(cast(Generator[Batch, None, None], loader.epoch())) as batches:
        limited = islice(batches, options.max_batches)
        if options.trace_dir:  # the profiler sees one thread only
            scored = profiled(map(work, limited), options.trace_dir, options.rank)
        else:
            scored = _in_order(work, limited, at_a_time)
        with closing(scored), open_writer(kind, options.output_path, options.rank) as writer:
            for rows in scored:
                writer.write(rows)
                progress.add(rows.num_rows, loader.wait_seconds)
    if loader.bad_values:
        logger.warning("bad values taken as missing: %s", told(loader.bad_values))
    return progress.summary(writer.path)


def _threads(scorer: Scorer, options: ScoringOptions) -> tuple[int, int]:
    """Batches scored at a time, and the threads of each on CPU."""
    cores = cores_for_me(options.local_world_size)
    if scorer.device.type == "cpu":
        return scoring_threads(options.threads, cores)
    return options.threads or max(scorer.config.data_config.num_workers, 1), cores


def _outputs(scorer: Scorer, wanted: Sequence[str]) -> list[str]:
    known = scorer.output_names
    if unknown := [name for name in wanted if name not in known]:
        near = hint(unknown[0], known)
        raise UserError(f"the model gives {', '.join(known)}; it has no prediction {', '.join(unknown)}{near}")
    return list(wanted) or sorted(known)


def _writer_kind(config: EasyRecConfig, wanted: str) -> WriterKind:
    """parquet or csv: as the flag says (also by the class names of the compatible system), else as the input is."""
    kinds: dict[str, WriterKind] = {"parquet": "parquet", "parquetwriter": "parquet", "csv": "csv", "csvwriter": "csv"}
    if not wanted:
        return "csv" if config.data_config.dataset_type == DatasetType.CsvDataset else "parquet"
    if wanted.lower() not in kinds:
        raise UserError(f"writer_type {wanted!r} is unknown; it can be ParquetWriter or CsvWriter")
    return kinds[wanted.lower()]


def _loader(scorer: Scorer, options: ScoringOptions) -> DataLoader:
    loader_options = LoaderOptions(
        rank=options.rank,
        world_size=options.world_size,
        local_world_size=options.local_world_size,
        mode="predict",
        batch_size=options.batch_size,
        reserved_columns=tuple(options.reserved_columns),
    )
    return DataLoader(scorer.config.data_config, scorer.features, options.input_path, loader_options)


def _score_batch(scorer: Scorer, outputs: Sequence[str], with_features: bool, batch: Batch) -> pa.RecordBatch:
    """Reserved columns followed by predictions."""
    predictions = scorer.predict_batch(batch)
    columns: dict[str, pa.Array] = {}
    if batch.reserved is not None:
        columns = dict(zip(batch.reserved.schema.names, batch.reserved.columns, strict=True))
    if clash := [name for name in outputs if name in columns]:
        raise UserError(
            f"predictions and reserved columns share the name {', '.join(clash)}; leave one out by --output_columns "
            f"or --reserved_columns"
        )
    columns |= {name: to_arrow(predictions[name]) for name in outputs}
    if with_features:
        columns[COLUMN] = describe_rows(batch)
    return pa.RecordBatch.from_pydict(columns)


def to_arrow(values: np.ndarray) -> pa.Array:
    """An array [B] as a column, [B, C] as a column of lists, [B, C, D] as one of lists of lists, and so on."""
    flat: pa.Array = pa.array(values.reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        count = int(np.prod(values.shape[:axis]))
        offsets = np.arange(count + 1, dtype=np.int32) * values.shape[axis]
        flat = pa.ListArray.from_arrays(pa.array(offsets), flat)
    return flat


def _in_order(
    work: Callable[[Batch], pa.RecordBatch], batches: Iterable[Batch], threads: int
) -> Generator[pa.RecordBatch, None, None]:
    """Results of `work`, done by `threads`, in the order of `batches`; the first failure ends it."""
    pending: deque[Future[pa.RecordBatch]] = deque()
    with ThreadPoolExecutor(threads, "score") as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) >= 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class _Progress:
    """Counts rows and logs a line every few seconds."""

    def __init__(self, total: int, options: ScoringOptions) -> None:
        self.rows = 0
        self._total = -(-total // options.world_size)
        self._rank = options.rank
        self._started = self._lined = time.perf_counter()

    def add(self, rows: int, waited: float) -> None:
        self.rows += rows
        now = time.perf_counter()
        if self._rank == 0 and now - self._lined >= _LINE_EVERY_SECONDS:
            self._lined = now
            share, rate = self.rows / max(self._total, 1), self.rows / (now - self._started)
            waiting = min(waited / (now - self._started), 1.0)
            line = f"predict  {self.rows:,} rows, {share:.0%}  {rate:,.0f} rows/s  waiting for data {waiting:.1%}"
            logger.info("%s", line)

    def summary(self, path: str) -> ScoringSummary:
        return ScoringSummary(self.rows, time.perf_counter() - self._started, path if self.rows else "")
