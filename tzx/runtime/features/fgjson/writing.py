"""A config's features as fg.json, with the files it refers to."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tzx.runtime.config import which_feature
from tzx.runtime.errors import UserError
from tzx.runtime.features.declared import Declared
from tzx.runtime.features.fgjson.builders import BUILDERS, Built, Entry
from tzx.runtime.features.vocabulary import read_asset

logger = logging.getLogger("tzx")

FILE_NAME = "fg.json"
BUNDLED = "pyfg/lib/"
_BUCKETIZERS = ("hash_bucket_size", "vocab_dict", "vocab_list", "boundaries", "num_buckets", "vocab_file")
# Of these, a stand-alone sequence is told by its keys alone.
_SAME_TYPE = ("custom_feature", "bool_mask_feature")


@dataclass
class FgJson:
    """`content` as a JSON object; `assets` by the file names under which it refers to them."""

    content: Entry
    assets: dict[str, bytes] = field(default_factory=dict)


def make_fg_json(
    feature_configs: Iterable[Any], reserves: Sequence[str] = (), remove_bucketizer: bool = False
) -> FgJson:
    """Say in fg.json what the features of a config are.

    Args:
        feature_configs: FeatureConfig messages.
        reserves: columns that pass through feature generation.
        remove_bucketizer: leave out what makes ids, for data that is read with fg_mode: FG_BUCKETIZE.

    Raises:
        ConfigError: a file cannot be read.
    """
    made = FgJson({"features": []})
    for feature_config in feature_configs:
        member, config = which_feature(feature_config)
        if member == "sequence_feature":
            made.content["features"].append(_group(config, remove_bucketizer, made.assets))
        elif member:
            kind = member.removeprefix("sequence_")
            declared = Declared(kind, config, config.feature_name, standalone_sequence=kind != member)
            made.content["features"] += _entries(declared, remove_bucketizer, made.assets)
    if reserves:
        made.content["reserves"] = list(reserves)
    return made


def write_fg_json(made: FgJson, directory: str) -> Path:
    """Write fg.json and its assets into a folder; returns the path of fg.json.

    Raises:
        UserError: there is an fg.json already.
    """
    folder, place = Path(directory), Path(directory) / FILE_NAME
    if place.exists():
        raise UserError(f"{place} is there already; remove it or choose another --fg_output_dir")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.assets.items():
        _publish(folder / name, content)
    _publish(place, (json.dumps(made.content, indent=2, ensure_ascii=False) + "\n").encode())
    return place


def _publish(place: Path, content: bytes) -> None:
    temporary = place.with_name(f".{place.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, place)


def _group(config: Any, remove_bucketizer: bool, assets: dict[str, bytes]) -> Entry:
    features: list[Entry] = []
    for inner in config.features:
        kind, sub = which_feature(inner)
        if kind:
            features += _entries(Declared(kind, sub, sub.feature_name, group=config), remove_bucketizer, assets)
    return {
        "sequence_name": config.sequence_name,
        "sequence_length": config.sequence_length,
        "sequence_delim": config.sequence_delim,
        "sequence_pk": config.sequence_pk or f"user:{config.sequence_name}",
        "features": features,
    }


def _entries(declared: Declared, remove_bucketizer: bool, assets: dict[str, bytes]) -> list[Entry]:
    """The entry of a feature, after those of hidden nodes that it reads."""
    if declared.tokens_as_sequence:
        logger.warning("feature %r: fg.json has no word for tokens_as_sequence and says tokenize", declared.name)
    built: Built = BUILDERS[declared.kind](declared)
    config, keys = declared.config, dict(built.keys)
    kind = keys.pop("feature_type", declared.kind)
    entry = {"feature_type": _type_name(kind, declared), "feature_name": config.feature_name, **keys}
    if config.stub_type:
        entry["stub_type"] = True
    entries = [*built.hidden, entry]
    if config.sequence_fields:
        # They name inputs, which the first node reads.
        entries[0]["sequence_fields"] = list(config.sequence_fields)
    for one in entries:
        if one["feature_type"] == "lookup_feature":
            one["feature_type"] = _type_name("lookup_feature", declared)
        if declared.standalone_sequence:
            one.update(_sequence_keys(config))
        if remove_bucketizer and declared.kind != "tokenize_feature":
            for key in _BUCKETIZERS:
                one.pop(key, None)
        _collect_assets(one, getattr(config, "asset_dir", ""), assets)
    return entries


def _type_name(kind: str, declared: Declared) -> str:
    return kind if not declared.standalone_sequence or kind in _SAME_TYPE else f"sequence_{kind}"


def _sequence_keys(config: Any) -> Entry:
    keys = {"sequence_delim": config.sequence_delim}
    return keys | ({"sequence_length": config.sequence_length} if config.sequence_length else {})


def _collect_assets(entry: Entry, asset_dir: str, assets: dict[str, bytes]) -> None:
    """Let the entry name its files by content."""
    for key in ("vocab_file", "stop_char_file", "operator_lib_file"):
        path = entry.get(key, "")
        if not path or path.startswith(BUNDLED) or (key == "operator_lib_file" and not os.path.exists(path)):
            continue
        content = read_asset(path, asset_dir if key == "vocab_file" else "")
        file = PurePosixPath(path)
        name = f"{file.stem}_{hashlib.md5(content, usedforsecurity=False).hexdigest()}{file.suffix}"
        assets[name], entry[key] = content, name
