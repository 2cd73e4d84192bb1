"""The config to train with on features that are made already."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.types as pt

from tzx.runtime.config import effective_fg_mode
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet, FeatureSettings
from tzx.runtime.features.declared import FROM_FEATURE, Declared, declared_features, generated_here, raw_inputs
from tzx.runtime.protos import data_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

FORMS = {"none": data_pb2.FG_NONE, "bucketize": data_pb2.FG_BUCKETIZE}
_SCALARS = {
    pa.int32(): "INT32",
    pa.int64(): "INT64",
    pa.string(): "STRING",
    pa.large_string(): "STRING",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
}


def training_config(config: EasyRecConfig, form: str, schema: pa.Schema) -> EasyRecConfig:
    """A copy of `config` that reads features from columns named like them.

    Args:
        config: what the features are made with.
        form: none or bucketize.
        schema: columns of the raw data.

    Raises:
        ConfigError: the form cannot stand for the raw data.
    """
    made = EasyRecConfig()
    made.CopyFrom(config)
    data, mode = made.data_config, effective_fg_mode(config.data_config)
    if mode == data_pb2.FG_NONE and form == "bucketize":
        raise ConfigError("the data holds final ids (fg_mode: FG_NONE), whose values are not known; use --form none")
    declared = list(declared_features(made.feature_configs, FeatureSettings.from_env()))
    if generated_here(mode):
        if data.sample_mask_prob > 0:
            _refuse_masks(declared, form)
        for feature in declared:
            feature.config.ClearField("fg_encoded_default_value")
            if getattr(feature.config, "use_mask", False):
                feature.config.use_mask = _has_maskable(feature, schema)
    data.ClearField("fg_encoded")
    data.fg_mode = FORMS[form]
    # Whoever cannot be read in the new mode is found here, before anything is written.
    FeatureSet.from_config(made.feature_configs, data)
    return made


def describe_files(data: data_pb2.DataConfig, csv: bool, schema: pa.Schema) -> None:
    """Say how the written files are to be read."""
    data.dataset_type = data_pb2.CsvDataset if csv else data_pb2.ParquetDataset
    data.ClearField("input_fields")
    data.ClearField("input_fields_str")
    if csv:
        data.with_header, data.delimiter = True, ","
        for column in schema:
            field = data.input_fields.add(input_name=column.name)
            if (name := _field_type(column.type)) in tuple(data_pb2.FieldType.keys()):
                field.input_type = data_pb2.FieldType.Value(name)


def masked_names(config: EasyRecConfig) -> frozenset[str]:
    """Features whose columns the sample mask nulls."""
    declared = declared_features(config.feature_configs, FeatureSettings.from_env())
    return frozenset(feature.name for feature in declared if getattr(feature.config, "use_mask", False))


def _field_type(kind: pa.DataType) -> str:
    if pt.is_list(kind):
        return f"ARRAY_{_field_type(kind.value_type)}"
    return _SCALARS.get(kind, "?")


def _has_maskable(feature: Declared, schema: pa.Schema) -> bool:
    """Whether the mask can null anything: columns of maps are left alone."""
    columns = [entry.column for entry in raw_inputs(feature, FeatureSettings.from_env()) if entry.column]
    return any(not pt.is_map(schema.field(column).type) for column in columns)


def _refuse_masks(declared: Sequence[Declared], form: str) -> None:
    """A mask that hides raw values cannot always be laid over what was made of them."""
    settings = FeatureSettings.from_env()
    inputs = {feature.name: raw_inputs(feature, settings) for feature in declared}
    read = {entry.name for entries in inputs.values() for entry in entries if entry.side == FROM_FEATURE}
    problems = []
    for feature in declared:
        if not getattr(feature.config, "use_mask", False):
            continue
        entries = inputs[feature.name]
        if feature.name in read:
            why = "other features read it"
        elif feature.is_sequence and len(entries) > 1:
            why = "it is a sequence of several inputs, of which the mask hides one"
        elif feature.kind == "tokenize_feature" and feature.config.default_value:
            why = "its default is tokenized"
        else:
            continue
        problems.append(f"feature {feature.name!r}: use_mask does not work on features made ahead, because {why}")
    if problems:
        raise ConfigError("\n".join([*problems, "train on the raw data, or leave out use_mask there"]))
