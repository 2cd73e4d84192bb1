"""Whatever a file or an option holds, reading it ends well or with a ConfigError, never with another exception."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import vocabulary
from tzx.runtime.features.feature import _count_pieces, _tokenizer_size
from tzx.runtime.features.fgjson.reading import feature_configs_from_fg_json
from tzx.runtime.features.normalizers import METHODS, parse_normalizer
from tzx.runtime.protos import feature_pb2

many = settings(max_examples=2000, deadline=None)

OPTIONS = [
    "method=",
    *METHODS,
    "expr=",
    "x",
    ",",
    "=",
    "mean=",
    "min=0",
    "max=1",
    "threshold=",
    "1e999",
    "nan",
    "-",
    " ",
]
normalizers = st.lists(st.sampled_from(OPTIONS) | st.text(max_size=4), max_size=8).map("".join)
lines = st.lists(st.sampled_from([b"a", b"b 3", b"c\t7", b" ", b"\r", b"\n", b"9", b"\xff", b"d 99999999999999999999"]))
vocabularies = lines.map(b"".join) | st.binary(max_size=40)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
KEYS = ["feature_name", "feature_type", "expression", "value_type", "default_value", "separator", "hash_bucket_size",
        "num_buckets", "vocab_list", "vocab_dict", "vocab_file", "boundaries", "normalizer", "sequence_name",
        "sequence_length", "sequence_delim", "features", "map", "key", "value_dim", "text_normalizer", "parameter",
        "need_prefix", "combiner", "is_sequence", "variables", "stub_type"]  # fmt: skip
KINDS = st.sampled_from(["id_feature", "raw_feature", "lookup_feature", "sequence_id_feature", "custom_feature",
                                   "user:a", "feature:f__lookup", "f"])  # fmt: skip
VALUES = leaves | KINDS
entries = st.recursive(
    st.dictionaries(st.sampled_from(KEYS), VALUES | st.lists(VALUES, max_size=2), max_size=6),
    lambda inner: st.dictionaries(st.sampled_from(KEYS), VALUES | inner | st.lists(inner, max_size=2), max_size=6),
    max_leaves=6,
)


def ends_well(read, *arguments):
    try:
        return read(*arguments)
    except ConfigError as error:
        assert str(error)
        return None


@many
@given(normalizers)
def test_normalizers(text):
    ends_well(parse_normalizer, text)


@many
@given(vocabularies, st.integers(0, 5))
def test_vocabulary_files(content, default):
    made = ends_well(vocabulary.from_file, content, default)
    if made is not None:
        assert all(0 <= index < made.rows for index in (*made.indices, made.unknown))


@many
@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"\x0a", b"\x0a\x03abc", b"\xff" * 12, b"\x08\x01"])).map(b"".join)
)
def test_sentencepiece_models(content):
    made = ends_well(_count_pieces, content, "file")
    assert made is None or made > 0


@many
@given(trees.map(lambda tree: json.dumps({"model": {"vocab": tree}})) | trees.map(json.dumps) | st.text(max_size=20))
def test_tokenizer_files(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed_tokenizer.json"
    path.write_text(content, encoding="utf-8", errors="surrogatepass")
    ends_well(_tokenizer_size, feature_pb2.TokenizeFeature(vocab_file=str(path), tokenizer_type="bpe"))


@many
@given(
    st.lists(entries, max_size=3).map(lambda e: json.dumps({"features": e}))
    | trees.map(json.dumps)
    | st.text(max_size=20)
)
def test_fg_json(content):
    made = ends_well(feature_configs_from_fg_json, content)
    assert made is None or all(isinstance(config, feature_pb2.FeatureConfig) for config in made)


@pytest.mark.parametrize("content", [b"", b"a 99999999999999999999\n"])
def test_vocabularies_that_cannot_be(content):
    with pytest.raises(ConfigError):
        vocabulary.from_file(content, 0)
