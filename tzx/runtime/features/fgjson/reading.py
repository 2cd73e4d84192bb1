"""fg.json as feature configs. It says nothing of embeddings, so their width is given."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.bucketizers import given_options
from tzx.runtime.features.fgjson.builders import LOOKUP_NODE, SEPARATOR, TEXT_BITS, TEXT_NODE, Entry
from tzx.runtime.features.kinds import KINDS
from tzx.runtime.protos import feature_pb2

# Keys whose field in the config has another name.
RENAMED = {
    "user": "nested_map",
    "category": "pkey",
    "item": "skey",
    "show_category": "show_pkey",
    "show_item": "show_skey",
    "needDiscrete": "need_discrete",
    "needKey": "need_key",
}
# Keys that follow from others, with the values that they may have.
IMPLIED: dict[str, tuple[Any, ...]] = {
    "need_prefix": (False,),
    "matchType": ("hit", "multihit"),
    "kv_delimiter": (":",),
    "output_type": ("word_id",),
}
PLAIN_TYPES = ("string", "float")
FILES = ("vocab_file",)


def feature_configs_from_fg_json(
    text: str, directory: str = "", embedding_dim: int = 16
) -> list[feature_pb2.FeatureConfig]:
    """Feature configs that make what an fg.json describes.

    Args:
        text: content of the file.
        directory: where it lies, and with it the files that it names.
        embedding_dim: width of the tables of sparse features.

    Raises:
        ConfigError: it is no fg.json, or says something that no config can.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not _are_entries(content.get("features")):
        raise ConfigError('this is no fg.json: a JSON object with a list of objects with names in "features"')
    configs = []
    for entry in _folded(content["features"]):
        config = feature_pb2.FeatureConfig()
        if "sequence_name" in entry:
            _read_group(entry, config.sequence_feature, directory, embedding_dim)
        else:
            kind, sequence = _kind(entry)
            _read_entry(entry, kind, getattr(config, f"sequence_{kind}" if sequence else kind), directory)
            _embed(getattr(config, f"sequence_{kind}" if sequence else kind), kind, embedding_dim)
        configs.append(config)
    return configs


def _are_entries(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("feature_name", entry.get("sequence_name")), str)
        for entry in value
    )


def _read_group(entry: Entry, group: feature_pb2.SequenceFeature, directory: str, embedding_dim: int) -> None:
    known = ("sequence_name", "sequence_length", "sequence_delim", "sequence_pk")
    _check_keys(entry, (*known, "features"), f"sequence {entry['sequence_name']!r}")
    for key in known:
        if key in entry:
            try:
                setattr(group, key, entry[key])
            except (TypeError, ValueError) as error:
                raise ConfigError(f"sequence {entry['sequence_name']!r}: {key}: {error}") from None
    if not _are_entries(entry.get("features")):
        raise ConfigError(f"sequence {entry['sequence_name']!r}: features is a list of objects with names")
    if group.sequence_pk == f"user:{group.sequence_name}":
        group.ClearField("sequence_pk")
    for inner in _folded(entry["features"]):
        kind, _ = _kind(inner)
        member = getattr(group.features.add(), kind)
        _read_entry(inner, kind, member, directory)
        _embed(member, kind, embedding_dim)


def _kind(entry: Entry) -> tuple[str, bool]:
    """Feature kind of an entry, and whether it is a stand-alone sequence."""
    given = str(entry.get("feature_type", ""))
    kind = given.removeprefix("sequence_")
    if kind not in KINDS:
        near = difflib.get_close_matches(given, KINDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(KINDS)}"
        raise ConfigError(f"feature {entry.get('feature_name')!r}: feature_type {given!r} is unknown{hint}")
    return kind, kind != given or bool(entry.get("is_sequence")) or "sequence_delim" in entry


def _folded(entries: Sequence[Entry]) -> list[Entry]:
    """Entries without hidden nodes, which become part of the feature that reads them."""
    by_name = {entry.get("feature_name"): entry for entry in entries}
    made, hidden = [], set[str]()
    for entry in entries:
        name = str(entry.get("feature_name"))
        for suffix, fold in ((LOOKUP_NODE, _with_lookup), (TEXT_NODE, _with_text_normalizer)):
            node = by_name.get(f"{name}{suffix}")
            if node is not None and entry.get("expression") == f"feature:{name}{suffix}":
                hidden.add(f"{name}{suffix}")
                entry = fold(entry, node)
        made.append(entry)
    return [entry for entry in made if entry.get("feature_name") not in hidden]


def _with_lookup(entry: Entry, node: Entry) -> Entry:
    """One lookup of vectors of a lookup of words and a raw_feature over them."""
    made = {**node, **{k: v for k, v in entry.items() if k not in ("feature_type", "expression", "separator")}}
    made |= {"needDiscrete": False, "value_separator": entry.get("separator", SEPARATOR)}
    prefix = "sequence_" if str(entry["feature_type"]).startswith("sequence_") else ""
    made["feature_type"] = f"{prefix}lookup_feature"
    values = set(str(entry.get("default_value", "")).split(made["value_separator"]))
    made["default_value"] = values.pop() if len(values) == 1 else entry["default_value"]
    for key in ("combiner", *(() if entry.get("stub_type") else ("stub_type",))):
        made.pop(key, None)
    return made


def _with_text_normalizer(entry: Entry, node: Entry) -> Entry:
    fields = {"sequence_fields": node["sequence_fields"]} if "sequence_fields" in node else {}
    return {**entry, "expression": node["expression"], "text_normalizer": node, **fields}


def _read_entry(entry: Entry, kind: str, config: Any, directory: str) -> None:
    """Set the fields of a feature message."""
    where, left = f"feature {entry.get('feature_name')!r}", {}
    for key, value in entry.items():
        try:
            known = _read_key(key, value, kind, config, directory)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ConfigError(f"{where}: {key} cannot be {json.dumps(value)[:60]}: {error}") from None
        if not known:
            left[key] = value
    if kind == "custom_feature":
        json_format.ParseDict(left, config.operator_params)
    else:
        _check_keys(entry, set(entry) - set(left), where, [*config.DESCRIPTOR.fields_by_name, *RENAMED])


def _read_key(key: str, value: Any, kind: str, config: Any, directory: str) -> bool:
    """Whether a config can say this; if so, it does now."""
    if key in IMPLIED:
        if value not in IMPLIED[key]:
            raise ValueError(f"a config can say {' or '.join(map(json.dumps, IMPLIED[key]))} only")
    elif key == "value_type":
        _read_value_type(config, kind, value)
    elif key == "text_normalizer":
        _read_text_normalizer(value, config.text_normalizer, directory)
    elif key not in ("feature_type", "is_sequence"):
        return _set_field(config, RENAMED.get(key, key), value, directory)
    return True


def _set_field(config: Any, field: str, value: Any, directory: str) -> bool:
    """Whether the message has this field, which gets the value."""
    known = config.DESCRIPTOR.fields_by_name.get(field)
    if known is None:
        # A combined value is always one.
        return field == "value_dim" and value == 1
    if field in FILES:
        value = str(Path(directory) / value)
    if known.message_type is not None and known.message_type.GetOptions().map_entry:
        getattr(config, field).update(value)
    elif known.is_repeated:
        getattr(config, field).extend([value] if isinstance(value, str) else value)
    else:
        setattr(config, field, value)
    return True


def _read_value_type(config: Any, kind: str, value: str) -> None:
    """value_type says more than the other keys only where it is an unusual one."""
    usual = ("string",) if kind == "id_feature" else PLAIN_TYPES
    if "fg_value_type" in config.DESCRIPTOR.fields_by_name and value not in usual:
        config.fg_value_type = value


def _read_text_normalizer(node: Entry, normalizer: feature_pb2.TextNormalizer, directory: str) -> None:
    if "max_length" in node:
        normalizer.max_length = node["max_length"]
    if "stop_char_file" in node:
        normalizer.stop_char_file = str(Path(directory) / node["stop_char_file"])
    normalizer.norm_options.extend(option for option, bit in TEXT_BITS.items() if node["parameter"] & bit)
    if node.get("remove_space"):
        normalizer.norm_options.append(feature_pb2.TEXT_REMOVE_SPACE)


def _embed(config: Any, kind: str, embedding_dim: int) -> None:
    """A width for the table, where there is one."""
    if KINDS[kind].always_sparse or given_options(config):
        config.embedding_dim = embedding_dim


def _check_keys(entry: Entry, known: Any, where: str, names: Sequence[str] = ()) -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(key, names or list(known), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{where}: no config can say {key!r}{hint}")
