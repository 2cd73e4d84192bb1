"""Rules about where rows come from and which columns they have."""

import re

from tzx.runtime.config.checks.context import Context, FeatureView
from tzx.runtime.config.checks.facts import reads_sequence
from tzx.runtime.config.checks.registry import rule
from tzx.runtime.config.problems import listing, quoted
from tzx.runtime.config.sourcemap import Path
from tzx.runtime.protos import data_pb2

_FIELD_TYPES = {*data_pb2.FieldType.keys(), "BIGINT", "INT"}
_COMPRESSIONS = ("LZ4_FRAME", "ZSTD", "UNCOMPRESSED")
_UNLABELLED = {"SidRqvae", "SidRqkmeans"}


def _duplicates(names: list[str]) -> list[int]:
    """Indexes of names that came before."""
    return [index for index, name in enumerate(names) if name in names[:index]]


def _lists_all_columns(c: Context) -> bool:
    """Whether input_fields name every column there is."""
    if c.data.dataset_type == data_pb2.CsvDataset:
        return not c.data.with_header
    return c.data.dataset_type == data_pb2.KafkaDataset


def _columns(c: Context) -> list[str]:
    """Columns that input_fields and input_fields_str name."""
    named = [field.input_name for field in c.data.input_fields]
    return named or [name for name, _ in _pairs(c.data.input_fields_str)]


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = (part.partition(":") for part in text.split(";") if part.strip())
    return [(name.strip(), kind.strip()) for name, _, kind in parts]


@rule("data_config")
def label_fields_given(c: Context) -> None:
    """A model that learns needs labels."""
    if c.config.HasField("data_config") and c.model and not c.data.label_fields and c.model_name not in _UNLABELLED:
        c.error(("data_config", "label_fields"), f"label_fields is empty; {c.model_name} needs a label column")


@rule("data_config")
def column_listed_twice(c: Context) -> None:
    """label_fields and sample_weight_fields name each column once."""
    for field in ("label_fields", "sample_weight_fields"):
        names = list(getattr(c.data, field))
        for index in _duplicates(names):
            c.warn(("data_config", field, index), f"{field} lists {quoted(names[index])} twice")


@rule("data_config")
def input_field_twice(c: Context) -> None:
    """input_fields name each column once."""
    names = [field.input_name for field in c.data.input_fields]
    for index in _duplicates(names):
        path: Path = ("data_config", "input_fields")
        first = c.where((*path, names.index(names[index])))
        c.error((*path, index, "input_name"), f"input_fields has {quoted(names[index])} already ({first})")


@rule("data_config")
def column_not_in_input_fields(c: Context) -> None:
    """Labels and weights are among the columns, where input_fields list all of them."""
    columns = _columns(c)
    if not columns or not _lists_all_columns(c):
        return
    for field in ("label_fields", "sample_weight_fields"):
        for index, name in enumerate(getattr(c.data, field)):
            if name not in columns:
                message = f"{quoted(name)} is not among the input_fields{c.hint(name, columns)}"
                c.error(("data_config", field, index), message)


def _column_of(feature: FeatureView, side: str, name: str) -> str:
    if feature.group is not None and reads_sequence(feature.kind, feature.config, side, name):
        return f"{feature.group.sequence_name}__{name}"
    return name


@rule("data_config", "feature_configs")
def feature_input_not_in_input_fields(c: Context) -> None:
    """What features read is among the columns, where input_fields list all of them."""
    columns = _columns(c)
    if not columns or not _lists_all_columns(c):
        return
    for feature in c.features:
        if not c.generates_features:
            if feature.name not in columns and not feature.config.stub_type:
                path = (*feature.path, "feature_name")
                c.error(
                    path, f"column {quoted(feature.name)} is not among the input_fields{c.hint(feature.name, columns)}"
                )
            continue
        for text, path in feature.inputs:
            side, _, name = text.partition(":")
            column = _column_of(feature, side, name)
            if side in ("user", "item", "context") and column not in columns:
                c.error(path, f"column {quoted(column)} is not among the input_fields{c.hint(column, columns)}")


@rule("data_config")
def csv_without_columns(c: Context) -> None:
    """A CSV file without header gets its column names from input_fields."""
    if c.data.dataset_type == data_pb2.CsvDataset and not c.data.with_header and not _columns(c):
        path = ("data_config", "dataset_type")
        c.error(
            path, "a CsvDataset without header needs input_fields in the order of the columns, or with_header: true"
        )


@rule()
def csv_delimiter(c: Context) -> None:
    """A CSV delimiter is one character."""
    if c.data.dataset_type == data_pb2.CsvDataset and len(c.data.delimiter) != 1:
        c.error(("data_config", "delimiter"), f"delimiter must be a single character, not {quoted(c.data.delimiter)}")


@rule()
def input_fields_str_syntax(c: Context) -> None:
    """input_fields_str reads `name:TYPE;name:TYPE`."""
    for name, kind in _pairs(c.data.input_fields_str):
        path = ("data_config", "input_fields_str")
        if not name or not kind:
            c.error(path, f"input_fields_str has {quoted(name or kind)} where name:TYPE is expected")
            continue
        plain = re.sub(r"[<,]", "_", kind.upper().replace(" ", "")).replace(">", "").replace("BIGINT", "INT64")
        if plain not in _FIELD_TYPES and re.sub(r"INT(?![0-9])", "INT32", plain) not in _FIELD_TYPES:
            c.warn(path, f"{quoted(kind)} of {quoted(name)} is not a known type{c.hint(plain, _FIELD_TYPES)}")


@rule()
def batch_size_zero(c: Context) -> None:
    """Batches hold rows."""
    for field in ("batch_size", "eval_batch_size"):
        if c.data.HasField(field) and getattr(c.data, field) == 0:
            c.error(("data_config", field), f"{field} is 0; it must be at least 1")


@rule("data_config")
def batch_cost_incomplete(c: Context) -> None:
    """Cutting batches by cost takes a column and a limit."""
    if bool(c.data.batch_cost_size) != bool(c.data.sample_cost_field):
        present, missing = ("batch_cost_size", "sample_cost_field")
        if c.data.sample_cost_field:
            present, missing = missing, present
        c.warn(("data_config", present), f"{present} has no effect without {missing}")


@rule()
def shuffle_without_buffer(c: Context) -> None:
    """Shuffling needs a buffer to shuffle in."""
    if c.data.shuffle and not c.data.shuffle_buffer_size:
        c.error(("data_config", "shuffle_buffer_size"), "shuffle is on, but shuffle_buffer_size is 0 batches")


@rule("data_config", "feature_configs")
def mask_without_features(c: Context) -> None:
    """Masking acts on features with use_mask only."""
    for field in ("sample_mask_prob", "negative_sample_mask_prob"):
        if getattr(c.data, field) > 0 and not any(feature.config.use_mask for feature in c.features):
            c.warn(("data_config", field), f"{field} has no effect: no feature sets use_mask: true")


@rule()
def fg_encoded_deprecated(c: Context) -> None:
    """fg_mode has taken the place of fg_encoded."""
    if c.data.HasField("fg_encoded"):
        path = ("data_config", "fg_encoded")
        if c.data.HasField("fg_mode"):
            c.warn(path, f"fg_encoded is deprecated and loses against fg_mode {data_pb2.FgMode.Name(c.fg_mode)}")
        else:
            c.warn(path, f"fg_encoded is deprecated; write fg_mode: {data_pb2.FgMode.Name(c.fg_mode)}")


@rule()
def odps_compression(c: Context) -> None:
    """Compressions that the storage API knows."""
    if (value := c.data.odps_data_compression) not in _COMPRESSIONS:
        path = ("data_config", "odps_data_compression")
        c.error(path, f"odps_data_compression must be one of {listing(_COMPRESSIONS)}, not {quoted(value)}")


@rule()
def paths_given(c: Context) -> None:
    """Paths that training needs may also come from flags, so this is no error."""
    for field in ("train_input_path", "model_dir"):
        if not getattr(c.config, field):
            c.warn((field,), f"{field} is empty; give it here or by --{field}")
    if c.config.export_config.exporter_type == "best" and not c.config.eval_input_path:
        path = ("export_config", "exporter_type")
        c.warn(path, 'exporter_type "best" picks by evaluation results, but eval_input_path is empty')
