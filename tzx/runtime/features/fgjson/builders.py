"""Keys of one fg.json entry, one function per feature kind. What all kinds share is in writing.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import json_format

from tzx.runtime.features import kinds
from tzx.runtime.features.bucketizers import UNBOUNDED, given_options, has_field
from tzx.runtime.features.declared import Declared
from tzx.runtime.features.text_normalizer import DEFAULT as DEFAULT_NORM_OPTIONS
from tzx.runtime.features.vocabulary import OUT_OF_VOCABULARY
from tzx.runtime.protos import feature_pb2

Entry = dict[str, Any]

SEPARATOR = "\x1d"
LOOKUP_NODE, TEXT_NODE = "__lookup", "__text_norm"
# What `parameter` of a text_normalizer adds up.
TEXT_BITS = {
    feature_pb2.TEXT_LOWER2UPPER: 2,
    feature_pb2.TEXT_UPPER2LOWER: 4,
    feature_pb2.TEXT_SBC2DBC: 8,
    feature_pb2.TEXT_CHT2CHS: 16,
    feature_pb2.TEXT_FILTER: 32,
    feature_pb2.TEXT_SPLITCHRS: 512,
}


@dataclass(frozen=True)
class Built:
    """Keys of a feature's own entry after feature_type and feature_name, and of the hidden nodes before it."""

    keys: Entry
    hidden: Sequence[Entry] = ()


def _default(declared: Declared) -> str:
    return kinds.default_value(declared.config, declared.is_sequence)


def _separator(config: Any) -> Entry:
    return {} if config.separator == SEPARATOR else {"separator": config.separator}


def _normalizer(config: Any) -> Entry:
    return {"normalizer": config.normalizer} if has_field(config, "normalizer") else {}


def _value_dim(config: Any) -> Entry:
    return {"value_dim": config.value_dim} if has_field(config, "value_dim") else {}


def number(value: float) -> float:
    """A 32-bit float of a config with no more digits than it has."""
    return float(str(np.float32(value)))


def is_discrete(declared: Declared) -> bool:
    """Whether the values are words, which a bucketizer of ids takes."""
    needed = has_field(declared.config, "need_discrete") and declared.config.need_discrete
    return needed or not set(given_options(declared.config)) <= {"boundaries"}


def is_vector(declared: Declared) -> bool:
    """Whether a lookup yields vectors."""
    return declared.config.value_dim > 1 and not given_options(declared.config) and not is_discrete(declared)


def bucketizer_keys(declared: Declared) -> Entry:
    """What makes ids; a vocabulary is written out with its implicit words."""
    config, default = declared.config, _default(declared)
    made: Entry = {}
    index = {"default_bucketize_value": config.default_bucketize_value} if _has_index(config) else {}
    for option in given_options(config):
        if option in ("zch", "dynamicemb"):
            made["hash_bucket_size"] = UNBOUNDED
        elif option == "boundaries":
            made[option] = [number(edge) for edge in config.boundaries]
        elif option == "vocab_list":
            made[option] = [*([] if index else [default, OUT_OF_VOCABULARY]), *config.vocab_list]
            index = index or {"default_bucketize_value": 1}
        elif option == "vocab_dict":
            forced = {default: 0} if default and not index else {}
            made[option] = {**dict(sorted(config.vocab_dict.items())), **forced}
            index = index or {"default_bucketize_value": 1}
        else:
            made[option] = getattr(config, option)
    return made | index


def _has_index(config: Any) -> bool:
    return has_field(config, "default_bucketize_value")


def _id(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "expression": config.expression,
        "value_type": config.fg_value_type or "string",
        "need_prefix": False,
        **_separator(config),
        "value_dim": kinds.value_dim(declared.kind, config, declared.is_sequence),
        **bucketizer_keys(declared),
    }
    return Built(keys | ({"weighted": True} if config.weighted else {}))


def _raw(declared: Declared) -> Built:
    config = declared.config
    keys = {"default_value": _default(declared), "expression": config.expression, "value_type": "float"}
    keys |= _separator(config) if config.value_dim != 1 else {}
    keys |= _normalizer(config)
    keys |= {"value_dim": config.value_dim} if config.value_dim != 1 else {}
    return Built(keys | bucketizer_keys(declared))


def _combo(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "expression": list(config.expression),
        "value_type": "string",
        "need_prefix": False,
        **_separator(config),
        "value_dim": config.value_dim,
    }
    return Built(keys | bucketizer_keys(declared))


def _lookup(declared: Declared) -> Built:
    config, discrete = declared.config, is_discrete(declared)
    text = discrete or is_vector(declared)
    combiner = "" if text else config.combiner
    keys = {
        "default_value": "" if is_vector(declared) else _default(declared),
        "map": config.map,
        "key": config.key,
        "value_type": config.fg_value_type or ("string" if text else "float"),
        "needDiscrete": text,
        "needKey": config.need_key,
        "combiner": combiner,
        **_separator(config),
    }
    if is_vector(declared):
        name = f"{config.feature_name}{LOOKUP_NODE}"
        first = {"feature_type": "lookup_feature", "feature_name": name, **keys, "value_dim": 1, "stub_type": True}
        return Built(_vector_keys(declared, name), [first])
    keys |= _normalizer(config)
    keys |= {"value_dim": kinds.value_dim(declared.kind, config, declared.is_sequence)} if combiner == "" else {}
    return Built(keys | bucketizer_keys(declared))


def _vector_keys(declared: Declared, lookup: str) -> Entry:
    """A raw_feature over the words that the lookup found."""
    config = declared.config
    single = _default(declared)
    default = single if config.value_separator in single else config.value_separator.join([single] * config.value_dim)
    return {
        "feature_type": "raw_feature",
        "default_value": default,
        "expression": f"feature:{lookup}",
        "value_type": "float",
        "separator": config.value_separator,
        **_normalizer(config),
        "value_dim": config.value_dim,
    }


def _match(declared: Declared) -> Built:
    config, discrete = declared.config, is_discrete(declared)
    keys = {
        "default_value": _default(declared),
        "user": config.nested_map,
        "category": config.pkey,
        "item": config.skey,
        "matchType": "multihit" if "ALL" in (config.pkey, config.skey) else "hit",
        "value_type": config.fg_value_type or ("string" if discrete else "float"),
        "needDiscrete": discrete,
        "show_category": config.show_pkey,
        "show_item": config.show_skey,
        **_separator(config),
        **_normalizer(config),
        **_value_dim(config),
    }
    return Built(keys | bucketizer_keys(declared))


def _expr(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "expression": config.expression,
        "variables": list(config.variables),
        "value_type": "float",
        **_separator(config),
        **({"fill_missing": number(config.fill_missing)} if has_field(config, "fill_missing") else {}),
        **_value_dim(config),
    }
    return Built(keys | bucketizer_keys(declared))


def _overlap(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "query": config.query,
        "title": config.title,
        "method": config.method,
        "value_type": "float",
        "separator": config.separator,
        **_normalizer(config),
    }
    return Built(keys | bucketizer_keys(declared))


def _kv_dot_product(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "query": config.query,
        "document": config.document,
        "kv_delimiter": ":",
        **_separator(config),
        **_normalizer(config),
    }
    return Built(keys | bucketizer_keys(declared))


def _bool_mask(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "expression": list(config.expression),
        **({"value_type": config.fg_value_type} if config.fg_value_type else {}),
        **_separator(config),
        "value_dim": config.value_dim,
    }
    return Built(keys | bucketizer_keys(declared))


def _combine(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "expression": config.expression,
        "value_type": "int64" if has_field(config, "num_buckets") else "float",
        "need_prefix": False,
        "combiner": config.combiner,
        **({"value_map": {k: number(v) for k, v in sorted(config.value_map.items())}} if config.value_map else {}),
        **_separator(config),
        **_normalizer(config),
        **({"value_dim": 1} if kinds.is_sparse(declared.kind, config) else {}),
    }
    return Built(keys | bucketizer_keys(declared))


def _tokenize(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "default_value": _default(declared),
        "expression": config.expression,
        "vocab_file": config.vocab_file,
        "tokenizer_type": config.tokenizer_type,
        "output_type": "word_id",
    }
    if not has_field(config, "text_normalizer"):
        return Built(keys)
    name = f"{config.feature_name}{TEXT_NODE}"
    return Built(
        keys | {"expression": f"feature:{name}"}, [_text_node(name, config.expression, config.text_normalizer)]
    )


def _text_node(name: str, expression: str, normalizer: feature_pb2.TextNormalizer) -> Entry:
    options = set(normalizer.norm_options) or set(DEFAULT_NORM_OPTIONS)
    return {
        "feature_type": "text_normalizer",
        "feature_name": name,
        "expression": expression,
        "is_gbk_input": False,
        "is_gbk_output": False,
        "stub_type": True,
        **({"max_length": normalizer.max_length} if normalizer.HasField("max_length") else {}),
        **({"stop_char_file": normalizer.stop_char_file} if normalizer.stop_char_file else {}),
        "parameter": sum(TEXT_BITS.get(option, 0) for option in options),
        "remove_space": feature_pb2.TEXT_REMOVE_SPACE in options,
    }


def _custom(declared: Declared) -> Built:
    config = declared.config
    keys = {
        "operator_name": config.operator_name,
        "operator_lib_file": config.operator_lib_file,
        "is_op_thread_safe": config.is_op_thread_safe,
        "default_value": _default(declared),
        "expression": list(config.expression),
        "value_type": "string" if is_discrete(declared) else "float",
        **_separator(config),
        **_normalizer(config),
        **_value_dim(config),
        **bucketizer_keys(declared),
        **json_format.MessageToDict(config.operator_params),
    }
    return Built(keys | ({"is_sequence": True} if declared.standalone_sequence else {}))


BUILDERS: dict[str, Callable[[Declared], Built]] = {
    "id_feature": _id,
    "raw_feature": _raw,
    "combo_feature": _combo,
    "lookup_feature": _lookup,
    "match_feature": _match,
    "expr_feature": _expr,
    "overlap_feature": _overlap,
    "kv_dot_product": _kv_dot_product,
    "bool_mask_feature": _bool_mask,
    "combine_feature": _combine,
    "tokenize_feature": _tokenize,
    "custom_feature": _custom,
}
