"""What the other floors need to know of a feature, resolved from its config once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.bucketizers import Bucketizer, has_field
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.vocabulary import read_asset


@dataclass(frozen=True, eq=False)
class Feature:
    """One input of the model.

    Args:
        name: full name, such as click_50_seq__item_id.
        kind: oneof name without "sequence_", such as id_feature.
        config: the IdFeature, RawFeature ... message.
        sequence_name: grouped sequence it is a member of.
        sequence_length: elements kept of a sequence, None for all.
        is_sequence: rows hold elements.
        is_sparse: yields ids, otherwise numbers.
        is_weighted: ids carry weights.
        value_dim: numbers per row or element; for sparse features 0 means any number of ids.
        inputs: columns read from the data.
        sides: side of every input (user, item, context, feature, const).
        is_user: depends on the user only.
        num_embeddings: rows of the embedding table, 0 when dense or when the config does not say.
        embedding_name: table, "" when dense.
        embedding_dim: width of the table or of the dense embedding, 0 for none.
        pooling: sum or mean of the ids of a row.
        data_type: FP32 or FP16.
        trainable: whether the table learns.
        init_fn: initializer text, may be "".
        output_dim: width of what the model gets.
    """

    name: str
    kind: str
    config: Any
    sequence_name: str | None
    sequence_length: int | None
    is_sequence: bool
    is_sparse: bool
    is_weighted: bool
    value_dim: int
    inputs: tuple[str, ...]
    sides: tuple[str, ...]
    is_user: bool
    num_embeddings: int
    embedding_name: str
    embedding_dim: int
    pooling: str
    data_type: str
    trainable: bool
    init_fn: str
    output_dim: int

    def __repr__(self) -> str:
        return f"Feature({self.name!r}, {self.kind}, inputs={self.inputs})"


def make_feature(
    declared: Declared, inputs: Sequence[Input], columns: Sequence[str], bucketizer: Bucketizer | None
) -> Feature:
    """Resolve a declared feature; `inputs` are those of its expressions, `columns` what is read in this mode.

    Raises:
        ConfigError: options that do not go together.
    """
    config, kind = declared.config, declared.kind
    sparse = kinds.is_sparse(kind, config)
    width = kinds.value_dim(kind, config, declared.is_sequence)
    if not sparse and width < 1:
        raise ConfigError("value_dim is 0, any number of values; that needs boundaries or another bucketizer")
    embedding_dim = config.embedding_dim if has_field(config, "embedding_dim") else 0
    embedded = sparse or (_has_dense_embedding(config) and not declared.is_sequence)
    return Feature(
        name=declared.name,
        kind=kind,
        config=config,
        sequence_name=None if declared.group is None else declared.group.sequence_name,
        sequence_length=declared.sequence_length if declared.is_sequence else None,
        is_sequence=declared.is_sequence,
        is_sparse=sparse,
        # The weights of a sequence are read and left out: the model has no place for them.
        is_weighted=getattr(config, "weighted", False) and not declared.is_sequence,
        value_dim=width,
        inputs=tuple(dict.fromkeys(columns)),
        sides=tuple(i.side for i in inputs),
        is_user=declared.group is not None or (bool(inputs) and all(i.side == "user" for i in inputs)),
        num_embeddings=_table_rows(declared, bucketizer) if sparse else 0,
        embedding_name=(config.embedding_name or f"{declared.name}_emb") if sparse else "",
        embedding_dim=embedding_dim,
        pooling=_choice("pooling", config.pooling, ("sum", "mean")),
        data_type=_choice("data_type", config.data_type, ("FP32", "FP16")),
        trainable=config.trainable,
        init_fn=config.init_fn,
        output_dim=embedding_dim if embedded else width,
    )


def _choice(option: str, given: str, allowed: Sequence[str]) -> str:
    if given not in allowed:
        raise ConfigError(f"{option} is {given!r}; allowed are {', '.join(allowed)}")
    return given


def _has_dense_embedding(config: Any) -> bool:
    return has_field(config, "autodis") or has_field(config, "mlp")


def _table_rows(declared: Declared, bucketizer: Bucketizer | None) -> int:
    if declared.kind == "tokenize_feature":
        return _tokenizer_size(declared.config)
    if bucketizer is None:
        return 0
    # The compatible system gives this one case a row more; checkpoints have its shape.
    extra = declared.kind == "match_feature" and len(declared.config.vocab_list) > 0
    return bucketizer.rows + extra


def _tokenizer_size(config: Any) -> int:
    """Number of tokens of a tokenizer.json or of a SentencePiece model."""
    content = read_asset(config.vocab_file, config.asset_dir)
    if config.tokenizer_type == "sentencepiece":
        return _count_pieces(content, config.vocab_file)
    try:
        tokenizer = json.loads(content)
        ids = list(tokenizer["model"]["vocab"].values()) + [t["id"] for t in tokenizer.get("added_tokens") or []]
        return max(ids) + 1
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{config.vocab_file!r} is not a tokenizer.json with a vocabulary") from None


def _count_pieces(content: bytes, name: str) -> int:
    """Entries of field 1 of a SentencePiece ModelProto, which is what its pieces are."""
    count = at = 0
    while at < len(content):
        key, at = _varint(content, at)
        if key & 7 != 2:
            break
        size, at = _varint(content, at)
        count += key >> 3 == 1
        at += size
    if not count or at > len(content):
        raise ConfigError(f"{name!r} is not a SentencePiece model")
    return count


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content):
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    return value, at
