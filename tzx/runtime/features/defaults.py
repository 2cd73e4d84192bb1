"""What takes the place of a missing value, and with it the output stage of a feature.

In FG_NONE that is fg_encoded_default_value, final ids or numbers; otherwise default_value, which is bucketized like
any value but not normalized. Both are known when the features are built, so they are turned into ids once, here.
"""

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import kinds
from tzx.runtime.features.bucketizers import OPTIONS, Boundaries, Bucketizer, Identity, has_field
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.outputs import NO_IDS, NO_NUMBERS, DenseOutput, Output, SparseOutput, TextOutput
from tzx.runtime.features.ragged import BadValue, Numbers, Ragged, Strings, Values
from tzx.runtime.features.reading import Layout
from tzx.runtime.protos import data_pb2


def encoded_default(feature: Feature) -> str | None:
    """Text that fills missing values in FG_NONE; None when they are not filled."""
    config = feature.config
    if config.fg_encoded_default_value:
        return config.fg_encoded_default_value
    if not getattr(config, "use_mask", False):
        return None
    return kinds.default_value(config, feature.is_sequence) or None


def make_output(feature: Feature, layout: Layout, bucketizer: Bucketizer | None, mode: "data_pb2.FgMode") -> Output:
    """The output stage of a feature whose columns are written as in `layout`.

    Raises:
        ConfigError: the default cannot be used, or nothing makes ids of the values.
    """
    if mode == data_pb2.FG_NONE:
        return _encoded_ids(feature, layout, bucketizer) if feature.is_sparse else _encoded_numbers(feature, layout)
    text, separator = kinds.default_value(feature.config, feature.is_sequence), _own_separator(feature)
    if not feature.is_sparse:
        return DenseOutput(feature.value_dim, default_values(feature, text, separator), "set default_value")
    if feature.kind == "tokenize_feature":
        return SparseOutput(Identity(feature.num_embeddings, "size of the tokenizer"), NO_IDS)
    if bucketizer is None and feature.config.stub_type:
        return TextOutput(tuple(token.encode() for token in _tokens(text, separator)))
    if bucketizer is None:
        options = ", ".join(option for option in OPTIONS if option in feature.config.DESCRIPTOR.fields_by_name)
        raise ConfigError(f"nothing turns its values into ids; set one of {options}")
    return SparseOutput(bucketizer, default_values(feature, text, separator, bucketizer))


def _own_separator(feature: Feature) -> bytes:
    return getattr(feature.config, "separator", "\x1d").encode()


def _encoded_numbers(feature: Feature, layout: Layout) -> DenseOutput:
    """Numbers that are final; fg_encoded_default_value is written like the data."""
    given = bool(feature.config.fg_encoded_default_value)
    separator = layout.separator if given else _own_separator(feature)
    default = default_values(feature, encoded_default(feature) or "", separator)
    return DenseOutput(feature.value_dim, default, "set fg_encoded_default_value")


def _encoded_ids(feature: Feature, layout: Layout, bucketizer: Bucketizer | None) -> SparseOutput:
    """Ids that are final: only checked against the table they will index."""
    maps_any_id = has_field(feature.config, "zch") or has_field(feature.config, "dynamicemb")
    ids = Identity(0 if maps_any_id else feature.num_embeddings, "rows of its embedding table")
    text = encoded_default(feature) or ""
    if not text:
        return SparseOutput(ids, NO_IDS)
    if feature.config.fg_encoded_default_value:
        return SparseOutput(ids, default_values(feature, text, layout.separator, ids))
    if bucketizer is None:
        raise ConfigError("use_mask needs fg_encoded_default_value, the ids that a masked value gets")
    return SparseOutput(ids, default_values(feature, text, _own_separator(feature), bucketizer))


def default_values(feature: Feature, text: str, separator: bytes, bucketizer: Bucketizer | None = None) -> Numbers:
    """Values that take the place of a missing slot: ids through `bucketizer`, otherwise numbers; [] for "".

    Raises:
        ConfigError: the text is not what the feature takes.
    """
    if not text:
        return NO_IDS if bucketizer else NO_NUMBERS
    tokens = _tokens(text, separator)
    if feature.is_weighted:
        tokens = [token.rpartition(":")[0] or token for token in tokens]
    try:
        row = Ragged(_parsed(tokens, bucketizer), np.array([len(tokens)], np.int32))
        values = bucketizer(row) if bucketizer else row.values
    except (BadValue, ValueError, OverflowError) as error:
        raise ConfigError(f"the default {text!r} cannot be used: {error}") from None
    assert isinstance(values, np.ndarray)
    width = feature.value_dim
    if len(values) == 1 and width > 1 and not kinds.KINDS[feature.kind].word_like:
        return np.repeat(values, width)  # type: ignore[return-value]
    if not feature.is_sparse and len(values) != width:
        raise ConfigError(f"the default {text!r} has {len(values)} numbers where value_dim is {width}")
    return values


def _tokens(text: str, separator: bytes) -> list[str]:
    return [token for token in text.split(separator.decode()) if token]


def _parsed(tokens: list[str], bucketizer: Bucketizer | None) -> Values:
    """Tokens as the bucketizer takes them, without the compiled kernels, which a column may never need."""
    if isinstance(bucketizer, Identity):
        return np.array([int(token) for token in tokens], np.int64)
    if bucketizer is None or isinstance(bucketizer, Boundaries):
        return np.array([float(token) for token in tokens], np.float32)
    return Strings.of([token.encode() for token in tokens])
