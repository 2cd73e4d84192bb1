"""Facts about feature types that follow from a config alone."""

from typing import Any

from tzx.runtime.config.schema import fields_of

INPUT_FIELDS = {
    "id_feature": ("expression",),
    "raw_feature": ("expression",),
    "combo_feature": ("expression",),
    "lookup_feature": ("map", "key"),
    "match_feature": ("nested_map", "pkey", "skey"),
    "expr_feature": ("variables",),
    "overlap_feature": ("query", "title"),
    "tokenize_feature": ("expression",),
    "custom_feature": ("expression",),
    "kv_dot_product": ("query", "document"),
    "bool_mask_feature": ("expression",),
    "combine_feature": ("expression",),
}
BUCKETIZERS = (
    "zch",
    "dynamicemb",
    "hash_bucket_size",
    "num_buckets",
    "vocab_list",
    "vocab_dict",
    "vocab_file",
    "boundaries",
)
# Towers that read a SEQUENCE group, by message type, as a message calls them.
SEQUENCE_TOWERS = {
    name: f"a {name.removesuffix('Tower')} tower" for name in ("DINTower", "BSTTower", "DIENTower", "SIMTower")
}
_ALWAYS_SPARSE = {"id_feature", "combo_feature", "bool_mask_feature", "tokenize_feature"}
_SINGLE_INPUT = {"id_feature", "raw_feature", "tokenize_feature", "combine_feature"}


def given(config: Any, name: str) -> bool:
    """Whether a message has a field of this name and it is set."""
    spec = fields_of(config.DESCRIPTOR).get(name)
    if spec is None:
        return False
    return len(getattr(config, name)) > 0 if spec.is_repeated else config.HasField(name)


def bucketizers(kind: str, config: Any) -> list[str]:
    """Ways to make ids that a feature sets. A tokenizer's vocab_file is none."""
    return [] if kind == "tokenize_feature" else [name for name in BUCKETIZERS if given(config, name)]


def is_sparse(kind: str, config: Any) -> bool:
    """Whether a feature yields ids."""
    return kind in _ALWAYS_SPARSE or bool(bucketizers(kind, config))


def table_rows(kind: str, config: Any) -> int | None:
    """Rows of a feature's table; None when only a file says, or nothing does."""
    names = bucketizers(kind, config)
    if not names:
        return None
    name = names[0]
    if name == "zch":
        return int(config.zch.zch_size)
    if name == "dynamicemb":
        return int(config.dynamicemb.max_capacity)
    if name in ("hash_bucket_size", "num_buckets"):
        return int(getattr(config, name))
    if name == "vocab_list":
        extra = 0 if config.HasField("default_bucketize_value") else 2
        return len(config.vocab_list) + extra
    if name == "vocab_dict":
        return max(config.vocab_dict.values()) + 1
    return len(config.boundaries) + 1 if name == "boundaries" else None


def reads_sequence(kind: str, config: Any, side: str, name: str) -> bool:
    """Whether an input of a sequence feature holds one value per element."""
    if config.sequence_fields:
        return name in config.sequence_fields
    return side != "feature" if kind in _SINGLE_INPUT else side == "item"


def output_dim(kind: str, config: Any, in_sequence: bool) -> int | None:
    """Width that a feature adds to its group; None when the config does not fix it."""
    if is_sparse(kind, config) or (
        not in_sequence and config.DESCRIPTOR.oneofs_by_name.get("dense_emb") and config.WhichOneof("dense_emb")
    ):
        return int(config.embedding_dim) or None
    if "value_dim" in fields_of(config.DESCRIPTOR) and config.HasField("value_dim"):
        return int(config.value_dim) or None
    return 1
