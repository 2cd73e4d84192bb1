"""One process's share of a data set: rows in, part file of features out, in the same order."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

import fsspec
import pyarrow as pa

from tzx.runtime.config import dump_config
from tzx.runtime.data.generating.columns import final_column, joined, value_column
from tzx.runtime.data.generating.config import FORMS, describe_files, masked_names, training_config
from tzx.runtime.data.generating.units import pieces, slices
from tzx.runtime.data.ordered import in_order
from tzx.runtime.data.readers import Chunk, Reader, open_reader
from tzx.runtime.data.writers import Writer, WriterKind, open_writer
from tzx.runtime.errors import ConfigError, DataError, UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos import data_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

logger = logging.getLogger("tzx")

CONFIG_NAME = "pipeline.config"
ALL_COLUMNS = "ALL_COLUMNS"
_ROW_GROUP_BYTES = 1 << 30  # of a row group while it is put together
_ROW_GROUP_ROWS = 1 << 20  # a Parquet writer cuts larger ones


@dataclass(frozen=True)
class GeneratingOptions:
    """What to write, where, and which share of it.

    `form` is none (final ids and numbers) or bucketize (values before that); `reserved_columns` are raw columns to
    keep beside labels and weights, or ALL_COLUMNS; `labels` says whether the data has these.
    """

    output_path: str
    form: str = "none"
    kind: WriterKind = "parquet"
    reserved_columns: tuple[str, ...] = ()
    labels: bool = True
    threads: int = 1
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True)
class GeneratingSummary:
    """What one process has done; `bad_values` are rows or elements by feature that were taken as missing."""

    rows: int
    seconds: float
    files: tuple[str, ...]
    config: str
    bad_values: Mapping[str, int]


def generate_files(config: EasyRecConfig, inputs: dict[str, str], options: GeneratingOptions) -> GeneratingSummary:
    """Make features of data sets and write `<output_path>/<name>/part-<rank>`; rank 0 adds pipeline.config.

    Args:
        config: what features to make, and how to read the data.
        inputs: paths of each data set by its name, which is "train" or "eval".
        options: see there.

    Raises:
        ConfigError: the form does not work for these features.
        UserError: something is in the output's place already.
        DataError: a row cannot be used; no part is left then.
    """
    began = time.perf_counter()
    if options.form not in FORMS:
        raise UserError(f"--form {options.form} is unknown; it can be {' or '.join(FORMS)}")
    made = EasyRecConfig()
    made.CopyFrom(config)
    rows, files, bad = 0, list[str](), Counter[str]()
    place = f"{options.output_path.rstrip('/')}/{CONFIG_NAME}"
    if options.rank == 0:
        _refuse_existing(place)
    for name in ("train_input_path", "eval_input_path"):
        made.ClearField(name)  # type: ignore[arg-type]
    described = False
    for name, paths in inputs.items():
        part = _Part(config, paths, replace(options, output_path=f"{options.output_path.rstrip('/')}/{name}"))
        rows += part.run()
        bad += part.bad_values
        files += [part.path] if part.has_rows else []
        if not described:
            made.ClearField("feature_configs")
            made.feature_configs.extend(part.config.feature_configs)
            made.data_config.CopyFrom(part.config.data_config)
            describe_files(made.data_config, options.kind == "csv", part.schema)
            described = True
        setattr(made, f"{name}_input_path", part.all_paths)
    if options.rank == 0:
        _write_new(place, dump_config(made))
    return GeneratingSummary(rows, time.perf_counter() - began, tuple(files), place, bad)


class _Part:
    """One process's share of one data set."""

    def __init__(self, config: EasyRecConfig, paths: str, options: GeneratingOptions) -> None:
        self._options = options
        self._features = FeatureSet.from_config(config.feature_configs, config.data_config)
        kept = self._kept_columns(config)
        wanted = list(dict.fromkeys([*self._features.input_columns, *kept]))
        everything = ALL_COLUMNS in options.reserved_columns
        self._reader: Reader = open_reader(config.data_config, paths, None if everything else wanted)
        self._reader.require(wanted)
        if not self._reader.num_rows:
            raise DataError(f"there are no rows in {paths}")
        self.config = training_config(config, options.form, self._reader.schema)
        self._masked = masked_names(self.config)
        names = self._features.by_name
        self._kept = [c for c in (self._reader.schema.names if everything else kept) if c not in names]
        if clash := [name for name in kept if name in names]:
            raise ConfigError(
                f"column {clash[0]!r} is to be kept, and a feature has this name; rename the feature{_more(clash)}"
            )
        self._starts = slices(self._reader.boundaries, options.world_size)
        if len(self._reader.boundaries) <= options.world_size and config.data_config.shuffle:
            logger.warning(
                "%s: %d row groups are too few for %d processes to share; they are cut, and a shuffled order changes",
                *(paths, len(self._reader.boundaries) - 1, options.world_size),
            )
        self._tolerant = config.data_config.bad_value_policy == data_pb2.BAD_VALUE_DEFAULT
        self._bad, self._lock = Counter[str](), Lock()
        self.schema = pa.schema([])
        self.path = self._name(options.rank)

    @property
    def bad_values(self) -> Counter[str]:
        """Rows or elements of each feature that were taken as missing, where the config allows that."""
        return self._bad + Counter(self._features.bad_values)

    @property
    def has_rows(self) -> bool:
        """Whether there is anything for this process to do."""
        return self._has_rows(self._options.rank)

    @property
    def all_paths(self) -> str:
        """Parts of all processes, one by one: when one is missing, reading them fails."""
        return ",".join(self._name(rank) for rank in range(self._options.world_size) if self._has_rows(rank))

    def run(self) -> int:
        """Write the part; returns its rows."""
        options = self._options
        start, stop = int(self._starts[options.rank]), int(self._starts[options.rank + 1])
        with open_writer(options.kind, options.output_path, options.rank) as writer:
            cut = pieces(self._reader, start, stop)
            made = in_order(lambda piece: self.make(piece[0]), cut, options.threads)
            self._write(writer, ((batch, ends) for (_, ends), batch in made))
        return stop - start

    def make(self, chunk: Chunk) -> pa.RecordBatch:
        """Columns of some rows."""
        batch = self._reader.with_origin(chunk)
        columns = self._final(batch) if self._options.form == "none" else self._before_bucketizing(batch)
        columns |= {name: chunk.batch.column(name) for name in self._kept}
        return pa.RecordBatch.from_pydict(columns)

    def _final(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        made = self._features.generate(batch)
        return {name: final_column(data, self._weights_as_text(name)) for name, data in made.items()}

    def _before_bucketizing(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        found = {}
        for traced in self._features.trace(batch, self._tolerant):
            # The last stage too, because it finds values that cannot be bucketized.
            if traced.result is not None and not traced.stub:
                with self._lock:
                    self._bad[traced.feature.name] += traced.bad_slots
                name, weighted = traced.feature.name, getattr(traced.feature.config, "weighted", False)
                as_text = self._weights_as_text(name)
                found[name] = value_column(traced.values, traced.bucketizer, weighted, as_text)
        return {feature.name: found[feature.name] for feature in self._features.features}

    def _weights_as_text(self, name: str) -> bool:
        """CSV has no maps with equal keys, and the sample mask leaves maps alone."""
        return self._options.kind == "csv" or name in self._masked

    def _write(self, writer: Writer, made: Iterable[tuple[pa.RecordBatch, bool]]) -> None:
        waiting: list[pa.RecordBatch] = []
        size = rows = 0
        for batch, ends in made:
            self.schema = batch.schema
            waiting.append(batch)
            size, rows = size + batch.nbytes, rows + batch.num_rows
            if ends or size > _ROW_GROUP_BYTES or rows >= _ROW_GROUP_ROWS or self._options.kind == "csv":
                writer.write(joined(waiting))
                waiting, size, rows = [], 0, 0
        assert not waiting

    def _kept_columns(self, config: EasyRecConfig) -> list[str]:
        data = config.data_config
        kept = [*data.label_fields, *data.sample_weight_fields] if self._options.labels else []
        if data.batch_cost_size and data.sample_cost_field:
            kept.append(data.sample_cost_field)
        if data.event_time_field and self._options.labels:
            kept.append(data.event_time_field)
        kept += [name for name in self._options.reserved_columns if name != ALL_COLUMNS]
        return list(dict.fromkeys(kept))

    def _has_rows(self, rank: int) -> bool:
        return bool(self._starts[rank] < self._starts[rank + 1])

    def _name(self, rank: int) -> str:
        return f"{self._options.output_path}/part-{rank}.{self._options.kind}"


def _more(names: list[str]) -> str:
    return f" (also {', '.join(names[1:])})" if len(names) > 1 else ""


def _refuse_existing(place: str) -> None:
    filesystem, path = fsspec.core.url_to_fs(place)
    if filesystem.exists(path):
        raise UserError(f"{place} is there already; remove it or choose another --output_path")


def _write_new(place: str, text: str) -> None:
    """Write a file that has its name only when it is whole."""
    filesystem, path = fsspec.core.url_to_fs(place)
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.tmp"
    filesystem.makedirs(folder, exist_ok=True)
    with filesystem.open(temporary, "wb") as file:
        file.write(text.encode())
    filesystem.mv(temporary, path)
