"""The loader: this rank's batches of an epoch, in an order that depends on nothing but the data and the settings.

A thread reads rows in order (stream.py), has them turned into batches (pipeline.py), by itself, by other threads or by
worker processes, and stays a few batches ahead of the consumer (prefetch.py).
"""

import logging
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from tzx.runtime.config import effective_fg_mode
from tzx.runtime.data import stream
from tzx.runtime.data.batch import Batch
from tzx.runtime.data.cores import cores_for_me
from tzx.runtime.data.event_time import EventTime
from tzx.runtime.data.labels import check_types
from tzx.runtime.data.layout import BatchLayout
from tzx.runtime.data.memory import use_thrifty_pool
from tzx.runtime.data.pipeline import Pipeline
from tzx.runtime.data.plan import Position, Settings
from tzx.runtime.data.prefetch import Prefetch
from tzx.runtime.data.readers import open_reader
from tzx.runtime.data.transform import Transform
from tzx.runtime.data.tuning import Hands, Sample, Tuner
from tzx.runtime.data.workers import WorkerPool, useful_workers
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.protos import data_pb2

if TYPE_CHECKING:
    from tzx.runtime.features import FeatureSet

logger = logging.getLogger("tzx")

ALL_COLUMNS = "ALL_COLUMNS"
ALL_EFFECTIVE_COLUMNS = "ALL_EFFECTIVE_COLUMNS"
_MANY_CORES = 8  # so many leave some for decoding columns side by side
_AHEAD = 4  # batches ready before the consumer asks
_TOGETHER_ROWS, _TOGETHER = 8192, 64  # of small batches that are made at once, and how many at most


_Made = tuple[Batch, float, float]  # with the seconds that the loader's thread took for it, wall and CPU


@dataclass(frozen=True)
class LoaderOptions:
    """Which part of the data this process reads, and what for.

    Args:
        batch_size: rows per batch; None takes the config's (except in training `eval_batch_size`, where set).
        num_workers: exactly so many worker processes; None leaves it to the config and to what helps on this machine.
        reserved_columns: raw columns to keep in `Batch.reserved`.
        all_columns: keep all of them.
        local_world_size: processes of the job on this machine, which share its cores.
        device: "cuda" puts batches into page-locked memory, if `data_config.pin_memory` is set.
    """

    rank: int = 0
    world_size: int = 1
    mode: Literal["train", "eval", "predict"] = "train"
    seed: int = 0
    batch_size: int | None = None
    num_workers: int | None = None
    reserved_columns: tuple[str, ...] = ()
    all_columns: bool = False
    local_world_size: int = 1
    device: str = "cpu"


class DataLoader:
    """Batches of one data set. `bad_values` counts, by feature, what was taken as missing in those given out.

    Close it when it is no longer needed: worker processes stay from epoch to epoch.
    """

    def __init__(
        self, data_config: data_pb2.DataConfig, features: "FeatureSet", paths: str, options: LoaderOptions
    ) -> None:
        """Open the files, count rows and check the columns that the features and labels need.

        Raises:
            UserError: no file under a path.
            DataError: a file is damaged, or a column is missing or of a wrong type, or there are no rows to train on.
        """
        use_thrifty_pool()
        self._config, self._options, self._features = data_config, options, features
        self.layout = BatchLayout.from_features(features.features)
        self.wait_seconds = 0.0
        self.bad_values = Counter[str]()
        self._needs_labels = options.mode != "predict"
        self._event_time = EventTime.from_config(data_config) if options.mode == "train" else None
        cores = cores_for_me(options.local_world_size)
        columns = self._needed_columns()
        self._tuner = self._make_tuner(cores)
        self._reader = open_reader(data_config, paths, None if self._keeps_all else columns, cores >= _MANY_CORES)
        self._reader.require(columns)
        self.schema: pa.Schema = self._reader.schema
        self.num_rows = self._reader.num_rows
        self._check(paths)
        self._tuner.under_way = _AHEAD + 2 * self._together
        files = len(self._reader.sources)
        logger.info("%s data: %d rows in %d file%s", options.mode, self.num_rows, files, "s" * (files > 1))
        self._transform = Transform(
            features,
            self.layout,
            tuple(data_config.label_fields) if self._needs_labels else (),
            tuple(data_config.sample_weight_fields) if self._needs_labels else (),
            options.mode == "train",
            data_config.sample_mask_prob,
        )

    @property
    def is_tuned(self) -> bool:
        """Whether nothing is left to try that may make batches faster."""
        return self._tuner.is_settled

    @property
    def batch_size(self) -> int:
        """Rows of a full batch."""
        config, options = self._config, self._options
        if options.batch_size is not None:
            return options.batch_size
        if options.mode != "train" and config.HasField("eval_batch_size"):
            return config.eval_batch_size
        return config.batch_size

    def epoch(
        self, epoch: int = 0, start: Mapping[str, int] | None = None, give_up: Callable[[], bool] | None = None
    ) -> Iterator[Batch]:
        """This rank's batches of one epoch, from `start` on, which is the (merged) position of earlier batches.

        Closing the iterator early ends every thread and process it uses; worker processes of a whole epoch stay for the
        next one, until the loader is closed. It ends early where `give_up` says so while no batch is ready.
        """
        settings = self._settings(epoch)
        position = Position.parse(start or {}, self.num_rows).advance(settings)
        # Those that are made at once count as one, or the next ones would be begun too late.
        ahead = Prefetch(partial(self._produce, position), _AHEAD + self._together - 1, give_up)
        try:
            yield from self._handed_out(iter(ahead))
        finally:
            ahead.close()

    def close(self) -> None:
        """End the worker processes. The loader can still be used, and starts others."""
        self._pool.close()

    def place(self, row: int) -> str:
        """Where row number `row` of the data set is, for a message."""
        return self._reader.place(row)

    def _handed_out(self, batches: Iterator[_Made]) -> Iterator[Batch]:
        is_first = True  # waiting for it is no fault of those who make batches
        while True:
            asked = time.perf_counter()
            made = next(batches, None)
            got = time.perf_counter()
            self.wait_seconds += got - asked
            if made is None:
                return
            batch, making, cpu = made
            self.bad_values.update(batch.bad_values)
            yield batch
            if not is_first:
                self._tuner.add(Sample(got - asked, time.perf_counter() - got, making, cpu), self._pool.running)
            is_first = False

    def _settings(self, epoch: int) -> Settings:
        config, options = self._config, self._options
        if not (config.shuffle and options.mode == "train"):
            return Settings(options.world_size, 0, 0, epoch)
        block_rows = max(1, config.shuffle_buffer_size) * self.batch_size
        return Settings(options.world_size, block_rows, options.seed % 2**63, epoch)

    def _produce(self, position: Position) -> Iterator[_Made]:
        config, rank = self._config, self._options.rank
        plan, consumed = position.plan(rank, self._reader.boundaries)
        drop_last = config.drop_remainder and self._options.mode == "train"
        cost = (config.sample_cost_field, config.batch_cost_size) if self._cost_field else ("", 0)
        cut = stream.Cut(self.batch_size, *cost, drop_last, self._together)
        chunks = stream.batches(self._reader, plan, consumed, cut)
        seed, rows = (self._options.seed % 2**63, rank), 0 if self._cost_field else self.batch_size
        pipeline = Pipeline(self._reader, self._transform, seed, rows, self._pinned)
        wall, cpu = time.perf_counter(), time.thread_time()
        for chunk, batch in pipeline.run(chunks, consumed, self._pool, lambda: self._tuner.hands):
            consumed += batch.size
            batch.position = position.state(rank, consumed)
            batch.rows = chunk.rows
            if self._event_time is not None:
                batch.event_time = self._event_time.latest(chunk.batch)
            if self._reserved_names:
                batch.reserved = chunk.batch.select(self._reserved_names)
            yield batch, time.perf_counter() - wall, time.thread_time() - cpu
            wall, cpu = time.perf_counter(), time.thread_time()

    @property
    def _together(self) -> int:
        """How many batches are made at once; bad values that are counted tell in which one they were."""
        is_tolerant = self._config.bad_value_policy == data_pb2.BAD_VALUE_DEFAULT
        if self._cost_field or is_tolerant or 2 * self.batch_size >= _TOGETHER_ROWS:
            return 1
        return min(_TOGETHER_ROWS // self.batch_size, _TOGETHER)

    @cached_property
    def _pool(self) -> WorkerPool:
        pool = WorkerPool(self._transform, self._reader.schema)
        weakref.finalize(self, pool.close)
        return pool

    def _make_tuner(self, cores: int) -> Tuner:
        config, options = self._config, self._options
        ready_made = effective_fg_mode(config) == data_pb2.FG_NONE
        threads = 1 if ready_made else max(1, min(config.fg_threads, cores))
        level = logging.INFO if options.rank == 0 else logging.DEBUG
        if options.num_workers is not None:
            return Tuner(options.mode, Hands(options.num_workers, threads))
        if not config.tune_loader:
            hands = Hands(config.num_workers, threads)
            logger.log(level, "%s data: made by %s, as data_config.tune_loader is false", options.mode, hands)
            return Tuner(options.mode, hands)
        if threads > 1:
            message = "%s data: %d threads make batches (fg_threads is %d)"
            logger.log(level, message, options.mode, threads, config.fg_threads)
        most, why = useful_workers(config.num_workers, cores, ready_made, options.device.startswith("cuda"))
        return Tuner(options.mode, Hands(threads=threads), most, why, level)

    @property
    def _pinned(self) -> bool:
        return self._options.device.startswith("cuda") and self._config.pin_memory and self._options.mode != "predict"

    @property
    def _cost_field(self) -> str:
        return self._config.sample_cost_field if self._config.batch_cost_size else ""

    @property
    def _reserved_names(self) -> list[str]:
        wanted = self._options.reserved_columns
        if self._keeps_all:
            return self.schema.names
        if ALL_EFFECTIVE_COLUMNS in wanted:
            return list(self._features.input_columns)
        return list(wanted)

    @property
    def _keeps_all(self) -> bool:
        return self._options.all_columns or ALL_COLUMNS in self._options.reserved_columns

    def _needed_columns(self) -> list[str]:
        config, options = self._config, self._options
        columns = list(self._features.input_columns)
        if self._needs_labels:
            columns += [*config.label_fields, *config.sample_weight_fields]
        if self._cost_field:
            columns.append(self._cost_field)
        if self._event_time is not None:
            columns.append(self._event_time.name)
        columns += [c for c in options.reserved_columns if c not in (ALL_COLUMNS, ALL_EFFECTIVE_COLUMNS)]
        return list(dict.fromkeys(columns))

    def _check(self, paths: str) -> None:
        config = self._config
        sampler = config.WhichOneof("sampler")
        if sampler and self._options.mode != "predict":
            raise ConfigError(f"data_config.{sampler}: samplers come with the match models; this version has none")
        if not self.batch_size:
            raise ConfigError("data_config.batch_size is 0; give at least 1")
        if not self.num_rows:
            if self._options.mode == "train":
                raise DataError(f"there are no rows to train on in {paths}")
            logger.warning("there are no rows in %s", paths)
        elif self._needs_labels:
            check_types(self.schema, config.label_fields, config.sample_weight_fields)
            if self._event_time is not None:
                self._event_time.check_type(self.schema)
