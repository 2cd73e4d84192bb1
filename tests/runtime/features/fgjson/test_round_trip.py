"""A config, written as fg.json and read again, makes the same features."""

import json
from dataclasses import fields
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from tzx.runtime.config import parse_text
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.bucketizers import given_options
from tzx.runtime.features.fgjson import feature_configs_from_fg_json, make_fg_json, write_fg_json

VECTORS = json.loads((Path(__file__).parents[1] / "feature_vectors.json").read_text())
PIPELINE = """
train_input_path: "t" eval_input_path: "e" model_dir: "m"
data_config {{ dataset_type: ParquetDataset fg_mode: {mode} }}
{features}
"""


def parsed(mode, *features):
    text = "\n".join(f"feature_configs {{ {feature} }}" for feature in features)
    return parse_text(PIPELINE.format(mode=mode, features=text), "test.config")


def read_back(config, directory):
    place = write_fg_json(make_fg_json(config.feature_configs), str(directory))
    return feature_configs_from_fg_json(place.read_text(), str(directory))


def outcome(features, batch):
    """Features of the batch, or what is wrong with it."""
    try:
        return features.generate(batch)
    except DataError as error:
        return str(error)


def assert_same_features(one, other, batch):
    made, again = outcome(one, batch), outcome(other, batch)
    if isinstance(made, str) or isinstance(again, str):
        assert made == again
        return
    assert made.keys() == again.keys()
    for name, data in made.items():
        assert type(data) is type(again[name])
        for field in fields(data):
            np.testing.assert_array_equal(getattr(data, field.name), getattr(again[name], field.name), err_msg=name)
    for feature, read in zip(one.features, other.features, strict=True):
        # fg.json has no size of a table that maps ids itself, and no word that default_value has pushed out.
        if not {"zch", "vocab_dict"} & set(given_options(feature.config)):
            assert feature.num_embeddings == read.num_embeddings


def carried(case):
    return case["mode"] in ("FG_NORMAL", "FG_DAG") and not case.get("is_training") and "env" not in case


@pytest.mark.parametrize("case", [c for c in VECTORS if carried(c)], ids=lambda c: c["id"])
def test_recorded_cases(case, make_batch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in case.get("files", {}).items():
        (tmp_path / name).write_text(content)
    config = parsed(case["mode"], *case.get("extra_configs", []), case["config"])
    again = read_back(config, tmp_path / "fg")
    batch = make_batch(case["inputs"])
    made = FeatureSet.from_config(config.feature_configs, config.data_config)
    assert_same_features(made, FeatureSet.from_config(again, config.data_config), batch)


def one_of(**options):
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in options.items()})


WORD_BUCKETS = (
    "hash_bucket_size: 13",
    'vocab_list: ["a", "b", "0"]',
    'vocab_list: ["a", "b"] default_bucketize_value: 1',
    'vocab_dict { key: "a" value: 3 } vocab_dict { key: "b" value: 2 }',
    'vocab_dict { key: "a" value: 3 } default_bucketize_value: 2',
    "zch { zch_size: 20 lfu {} }",
)
EDGES = ("boundaries: [0.1, 0.3, 2]", "")
NORMALIZERS = ('"method=log10"', '"method=expression,expr=x*0.1"')
WORDS = ('""', '"a"', '"0"')
NUMBERS = ('"0"', '"1.5"')
# Kind, what it always says, then the choices: one bucketizer, and further options.
KINDS = (
    ("id_feature", 'expression: "user:tags"', WORD_BUCKETS, {"value_dim": (0, 1, 2), "default_value": WORDS}),
    ("id_feature", 'expression: "user:pairs" weighted: true', WORD_BUCKETS, {"default_value": WORDS}),
    ("raw_feature", 'expression: "user:x"', EDGES, {"default_value": NUMBERS, "normalizer": NORMALIZERS}),
    ("raw_feature", 'expression: "user:xy" value_dim: 2 separator: "|"', EDGES, {"default_value": ('"1|2"', '"3"')}),
    ("combo_feature", 'expression: ["user:tags", "item:x"]', WORD_BUCKETS[:5], {"value_dim": (0, 1, 3)}),
    (
        "lookup_feature",
        'map: "user:pairs" key: "item:tags"',
        (*EDGES, "boundaries: [0.5]", *WORD_BUCKETS),
        {"combiner": ('"sum"', '"mean"', '"max"', '"count"'), "normalizer": NORMALIZERS, "need_key": ("false",)},
    ),
    ("lookup_feature", 'map: "user:vectors" key: "item:x" value_dim: 2', ("",), {"default_value": NUMBERS}),
    (
        "match_feature",
        'nested_map: "user:nested" pkey: "item:tag"',
        WORD_BUCKETS,
        {"skey": ('"ALL"', '"item:x"'), "show_pkey": ("true",), "show_skey": ("true",), "default_value": WORDS},
    ),
    ("expr_feature", 'expression: "x * 0.7 + 1" variables: "user:x"', EDGES, {"default_value": NUMBERS}),
    (
        "expr_feature",
        'expression: "v + x" variables: ["user:x", "item:v"] value_dim: 2 separator: "|"',
        EDGES,
        {"fill_missing": (0.1, 7)},
    ),
    ("overlap_feature", 'query: "user:tags" title: "item:tags"', EDGES, {"normalizer": NORMALIZERS}),
    ("kv_dot_product", 'query: "user:pairs" document: "item:pairs"', EDGES, {"default_value": NUMBERS}),
    ("bool_mask_feature", 'expression: ["user:tags", "item:flags"]', WORD_BUCKETS[:5], {"default_value": WORDS}),
    (
        "combine_feature",
        'expression: "user:tags" value_map { key: "a" value: 0.3 } value_map { key: "b" value: 2 }',
        (*EDGES, "num_buckets: 50"),
        {"combiner": ('"sum"', '"mean"', '"min"', '"count"'), "default_value": ('"1"', '"0"')},
    ),
    (
        "custom_feature",
        'expression: ["user:tag", "item:tag"] operator_name: "EditDistance" operator_lib_file: "pyfg/lib/x.so" '
        'operator_params { fields { key: "encoding" value { string_value: "latin" } } }',
        (*EDGES, "num_buckets: 99", "hash_bucket_size: 13"),
        {"default_value": NUMBERS[:1]},
    ),
)


@st.composite
def configs(draw):
    """Several features, plain, stand-alone sequences or members of a group."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        kind, fixed, buckets, options = draw(st.sampled_from(KINDS))
        chosen = draw(one_of(**options))
        if kind == "overlap_feature":
            fixed += f' method: "{draw(st.sampled_from(["query_common_ratio", "is_contain"]))}"'
        if kind == "match_feature":
            chosen.setdefault("skey", '"item:x"')
        more = " ".join(f"{name}: {value}" for name, value in chosen.items())
        body = f'feature_name: "f{number}" {fixed} {draw(st.sampled_from(buckets))} embedding_dim: 4 {more}'
        form = (
            draw(st.sampled_from(["plain", "alone", "group"])) if kind in ("id_feature", "combo_feature") else "plain"
        )
        if form == "alone":
            body += f' sequence_length: {draw(st.integers(1, 4))} sequence_delim: ";"'
            made.append(f"sequence_{kind} {{ {body} }}")
        elif form == "group":
            made.append(
                f'sequence_feature {{ sequence_name: "s{number}" sequence_length: 3 sequence_delim: ";" '
                f"features {{ {kind} {{ {body} }} }} }}"
            )
        else:
            made.append(f"{kind} {{ {body} }}")
    return made


def cells(text):
    return st.lists(st.none() | text, min_size=6, max_size=6)


def joined(item, separator, low=0, most=3):
    return st.lists(item, min_size=low, max_size=most).map(separator.join)


WORD = st.sampled_from(["a", "b", "c", "0", "1"])
NUMBER = st.sampled_from(["0", "1", "0.25", "-3", "1e3"])
COLUMNS = {
    "tags": joined(WORD, "\x1d"),
    "tag": WORD,
    "x": NUMBER,
    "xy": joined(NUMBER, "|", 2, 2),
    "v": joined(NUMBER, "|", 1, 2),
    "pairs": joined(st.tuples(WORD, NUMBER).map(":".join), "\x1d"),
    "vectors": joined(st.tuples(NUMBER, joined(NUMBER, ",", 2, 2)).map(":".join), "\x1d"),
    "nested": st.just("a^0:1,1:b|b^0:0"),
    "flags": st.just("true"),
}


@settings(max_examples=300, deadline=None)
@given(configs=configs(), columns=st.fixed_dictionaries({name: cells(text) for name, text in COLUMNS.items()}))
def test_any_config(configs, columns, tmp_path_factory):
    config = parsed("FG_DAG", *configs)
    columns["flags"] = [
        None if t is None else "\x1d".join(["true", "false", "true"][: t.count("\x1d") + 1]) for t in columns["tags"]
    ]
    try:
        made = FeatureSet.from_config(config.feature_configs, config.data_config)
    except ConfigError:
        return
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    for number in range(4):
        arrays |= {f"s{number}__{name}": arrays[name] for name in ("tags", "pairs", "x")}
    again = read_back(config, tmp_path_factory.mktemp("fg"))
    assert_same_features(made, FeatureSet.from_config(again, config.data_config), pa.record_batch(arrays))


def test_what_no_config_can_say_is_refused():
    def read(text):
        return feature_configs_from_fg_json(text)

    with pytest.raises(ConfigError, match=r"this is no fg\.json"):
        read("[]")
    with pytest.raises(
        ConfigError, match="feature 'a': feature_type 'id_featur' is unknown; did you mean 'id_feature'"
    ):
        read('{"features": [{"feature_type": "id_featur", "feature_name": "a"}]}')
    entry = {"feature_type": "id_feature", "feature_name": "a", "expression": "user:a"}
    with pytest.raises(
        ConfigError, match="feature 'a': no config can say 'hash_bucket_siz'; did you mean 'hash_bucket_size'"
    ):
        read(json.dumps({"features": [{**entry, "hash_bucket_siz": 5}]}))
    with pytest.raises(ConfigError, match="feature 'a': need_prefix cannot be true"):
        read(json.dumps({"features": [{**entry, "need_prefix": True}]}))
    with pytest.raises(ConfigError, match="feature 'a': hash_bucket_size cannot be \"many\""):
        read(json.dumps({"features": [{**entry, "hash_bucket_size": "many"}]}))


@pytest.mark.parametrize("kind", ["tokenize_feature", "sequence_tokenize_feature"])
@pytest.mark.parametrize("normalizer", ["", "text_normalizer {}", "text_normalizer { norm_options: TEXT_UPPER2LOWER }"])
def test_tokenizers(kind, normalizer, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<unk>": 0, "low": 1, "LOW": 2, "new": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = parsed(
        "FG_DAG",
        f'{kind} {{ feature_name: "t" expression: "user:text" vocab_file: "{tmp_path}/tokenizer.json" embedding_dim: 4 '
        f'default_value: "new" sequence_length: 3 {normalizer} }}',
    )
    again = read_back(config, tmp_path / "fg")
    assert len(again) == 1
    made = FeatureSet.from_config(config.feature_configs, config.data_config)
    batch = pa.record_batch({"text": ["low new;LOW", "", None, "Low;;x"]})
    assert_same_features(made, FeatureSet.from_config(again, config.data_config), batch)
