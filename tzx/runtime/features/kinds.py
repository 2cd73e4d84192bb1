"""What differs between feature types before any operator runs, as one table."""

from dataclasses import dataclass
from typing import Any

from tzx.runtime.features.bucketizers import given_options, has_field


@dataclass(frozen=True)
class Kind:
    """Facts of one feature type.

    Args:
        inputs: config fields that hold `side:name`, in order.
        single_input: exactly one input, which is the sequence whatever its side (except `feature`).
        always_sparse: yields ids with or without a bucketizer.
        value_dim: values per slot when the config does not say; 0 is any number.
        word_like: values are text until a bucketizer takes them; otherwise numbers.
    """

    inputs: tuple[str, ...] = ("expression",)
    single_input: bool = False
    always_sparse: bool = False
    value_dim: int = 1
    word_like: bool = False


KINDS = {
    "id_feature": Kind(single_input=True, always_sparse=True, value_dim=0, word_like=True),
    "raw_feature": Kind(single_input=True),
    "combo_feature": Kind(always_sparse=True, value_dim=0, word_like=True),
    "lookup_feature": Kind(("map", "key")),
    "match_feature": Kind(("nested_map", "pkey", "skey")),
    "expr_feature": Kind(("variables",)),
    "overlap_feature": Kind(("query", "title")),
    "tokenize_feature": Kind(single_input=True, always_sparse=True, value_dim=0, word_like=True),
    "custom_feature": Kind(),
    "kv_dot_product": Kind(("query", "document")),
    "bool_mask_feature": Kind(always_sparse=True, value_dim=0, word_like=True),
    "combine_feature": Kind(single_input=True),
}


def is_sparse(kind: str, config: Any) -> bool:
    """Whether the feature yields ids."""
    return KINDS[kind].always_sparse or bool(given_options(config))


def value_dim(kind: str, config: Any, is_sequence: bool) -> int:
    """Values per slot, 0 for any number."""
    if kind == "tokenize_feature":
        return int(config.tokens_as_sequence)
    if has_field(config, "value_dim"):
        return config.value_dim
    return 1 if kind == "id_feature" and is_sequence else KINDS[kind].value_dim


def default_value(config: Any, is_sequence: bool) -> str:
    """What takes the place of a missing value before bucketizing; "" is nothing.

    A sequence is never without a default, so that members of a group keep the same length. An overlap has no such
    field, and the product of nothing is 0.
    """
    text = config.default_value if "default_value" in config.DESCRIPTOR.fields_by_name else "0"
    never_empty = is_sequence or config.DESCRIPTOR.name == "KvDotProduct"
    return "0" if never_empty and not text else text
