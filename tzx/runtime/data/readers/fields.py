"""Column types of a config (`input_fields`, `input_fields_str`) as Arrow types."""

from collections.abc import Mapping

import pyarrow as pa

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import data_pb2

_SCALARS = {
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "STRING": pa.string(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
}
_ALIASES = {"BIGINT": "INT64", "INT": "INT32"}


def input_fields(config: data_pb2.DataConfig) -> dict[str, pa.DataType | None]:
    """Declared columns in the order of the file, with their types where given."""
    fields: dict[str, pa.DataType | None] = {
        f.input_name: arrow_type(data_pb2.FieldType.Name(f.input_type)) if f.HasField("input_type") else None
        for f in config.input_fields
    }
    if config.input_fields_str:
        fields |= _parse_fields(config.input_fields_str)
    return fields


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a FieldType name such as ARRAY_INT64 or MAP_STRING_FLOAT."""
    if name.startswith("ARRAY_"):
        return pa.list_(arrow_type(name.removeprefix("ARRAY_")))
    if name.startswith("MAP_"):
        key, value = name.removeprefix("MAP_").split("_")
        return pa.map_(_SCALARS[key], _SCALARS[value])
    return _SCALARS[name]


def _parse_fields(text: str) -> Mapping[str, pa.DataType]:
    fields = {}
    kinds = tuple(data_pb2.FieldType.keys())
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, kind = (part.strip() for part in item.partition(":"))
        kind = _ALIASES.get(kind.upper(), kind.upper())
        if not (name and colon) or kind not in kinds:
            allowed = ", ".join([*kinds, *_ALIASES])
            raise ConfigError(f"data_config.input_fields_str: {item!r} is not name:TYPE; TYPE is one of {allowed}")
        fields[name] = arrow_type(kind)
    return fields
