"""fg.json as the compatible system writes it; its own output is the reference where it is known."""

import hashlib
import json

import pytest

from tzx.apps import create_fg_json
from tzx.runtime.config import parse_text
from tzx.runtime.errors import ConfigError, UserError
from tzx.runtime.features.fgjson import make_fg_json

CONFIG = """
train_input_path: "t" eval_input_path: "e" model_dir: "m"
data_config {{ dataset_type: ParquetDataset fg_mode: FG_DAG label_fields: "label" }}
feature_configs {{ {} }}
"""


def entries(text, **options):
    config = parse_text(CONFIG.format(text), "test.config")
    return make_fg_json(config.feature_configs, **options).content["features"]


def entry(text, **options):
    (found,) = entries(text, **options)
    return found


def test_reference_id():
    found = entry('id_feature { feature_name: "cat_a" expression: "item:cat_a" num_buckets: 100 embedding_dim: 16 }')
    expected = (
        '{"feature_type":"id_feature","feature_name":"cat_a","default_value":"","expression":"item:cat_a",'
        '"value_type":"string","need_prefix":false,"value_dim":0,"num_buckets":100}'
    )
    assert json.dumps(found, separators=(",", ":")) == expected


def test_reference_raw_with_boundaries():
    text = 'raw_feature { feature_name: "int_a" expression: "item:int_a" boundaries: [1, 2, 3] embedding_dim: 16 }'
    expected = {
        "feature_type": "raw_feature",
        "feature_name": "int_a",
        "default_value": "0",
        "expression": "item:int_a",
        "value_type": "float",
        "boundaries": [1, 2, 3],
    }
    found = entry(text)
    assert found == expected and list(found) == list(expected)


def test_reference_lookup_with_vocab_list():
    found = entry(
        'lookup_feature { feature_name: "l" map: "user:m" key: "item:k" vocab_list: ["a", "b", "c"] embedding_dim: 16 }'
    )
    assert found["vocab_list"] == ["0", "<OOV>", "a", "b", "c"] and found["default_bucketize_value"] == 1
    assert (found["combiner"], found["needDiscrete"], found["value_dim"]) == ("", True, 1)
    assert (found["value_type"], found["needKey"], found["map"], found["key"]) == ("string", False, "user:m", "item:k")


def test_reference_match_with_vocab_dict():
    words = " ".join(f'vocab_dict {{ key: "{k}" value: {v} }}' for k, v in (("e", 2), ("f", 3), ("g", 4)))
    found = entry(
        'match_feature { feature_name: "m" nested_map: "user:n" pkey: "item:p" skey: "ALL" embedding_dim: 16 '
        + words
        + " }"
    )
    assert found["vocab_dict"] == {"e": 2, "f": 3, "g": 4, "0": 0} and found["default_bucketize_value"] == 1
    assert (found["user"], found["category"], found["item"]) == ("user:n", "item:p", "ALL")
    assert (found["matchType"], found["show_category"], found["show_item"]) == ("multihit", False, False)


def test_default_bucketize_value_leaves_vocabularies_as_given():
    found = entry(
        'id_feature { feature_name: "i" expression: "user:i" vocab_list: ["a", "b"] default_bucketize_value: 1 '
        "embedding_dim: 4 }"
    )
    assert found["vocab_list"] == ["a", "b"] and found["default_bucketize_value"] == 1


@pytest.mark.parametrize("option", ["zch { zch_size: 10 lfu {} }", "dynamicemb { max_capacity: 10 }"])
def test_tables_that_map_ids_themselves_get_a_hash_of_63_bits(option):
    found = entry(f'id_feature {{ feature_name: "i" expression: "user:i" embedding_dim: 4 {option} }}')
    assert found["hash_bucket_size"] == 2**63 - 1


def test_sequences():
    found = entry(
        'sequence_feature { sequence_name: "s" sequence_length: 50 sequence_delim: "|" features { id_feature { '
        'feature_name: "i" expression: "user:i" hash_bucket_size: 9 embedding_dim: 4 } } }'
    )
    (member,) = found.pop("features")
    assert found == {"sequence_name": "s", "sequence_length": 50, "sequence_delim": "|", "sequence_pk": "user:s"}
    assert member["default_value"] == "0" and member["value_dim"] == 1 and member["feature_type"] == "id_feature"
    alone = entry(
        'sequence_id_feature { feature_name: "i" expression: "user:i" hash_bucket_size: 9 embedding_dim: 4 '
        'sequence_length: 7 sequence_delim: "#" }'
    )
    assert alone["feature_type"] == "sequence_id_feature"
    assert (alone["sequence_delim"], alone["sequence_length"]) == ("#", 7)
    custom = entry(
        'sequence_custom_feature { feature_name: "c" expression: ["user:a", "user:b"] operator_name: "SeqExpr" '
        'operator_lib_file: "pyfg/lib/libseq_expr.so" sequence_length: 5 '
        'operator_params { fields { key: "formula" value { string_value: "a-b" } } } }'
    )
    assert custom["feature_type"] == "custom_feature" and custom["is_sequence"] is True and custom["formula"] == "a-b"
    mask = entry(
        'sequence_bool_mask_feature { feature_name: "b" expression: ["user:a", "user:b"] num_buckets: 5 '
        "embedding_dim: 4 sequence_length: 5 }"
    )
    assert mask["feature_type"] == "bool_mask_feature" and mask["sequence_length"] == 5 and "is_sequence" not in mask


def test_a_lookup_of_vectors_is_two_entries():
    first, second = entries(
        'lookup_feature { feature_name: "v" map: "user:m" key: "item:k" value_dim: 3 value_separator: "|" }'
    )
    assert (first["feature_name"], first["feature_type"], first["stub_type"]) == ("v__lookup", "lookup_feature", True)
    assert (second["feature_type"], second["expression"], second["value_dim"]) == (
        "raw_feature",
        "feature:v__lookup",
        3,
    )
    assert second["default_value"] == "0|0|0" and second["separator"] == "|"


def test_what_only_some_kinds_say():
    overlap = entry(
        'overlap_feature { feature_name: "o" query: "user:q" title: "item:t" method: "is_equal" boundaries: 0.1 '
        "embedding_dim: 4 }"
    )
    assert overlap["separator"] == "\x1d" and "default_value" not in overlap and overlap["boundaries"] == [0.1]
    combine = entry('combine_feature { feature_name: "c" expression: "user:c" num_buckets: 5 embedding_dim: 4 }')
    assert (combine["value_type"], combine["value_dim"], combine["combiner"]) == ("int64", 1, "sum")
    kv = entry('kv_dot_product { feature_name: "k" query: "user:q" document: "item:d" separator: "|" }')
    assert (kv["kv_delimiter"], kv["separator"], kv["default_value"]) == (":", "|", "0")
    raw = entry('raw_feature { feature_name: "r" expression: "user:r" separator: "|" }')
    assert "separator" not in raw and "value_dim" not in raw


def test_files_are_copied_under_the_names_of_their_content(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("a\nb\n")
    (tmp_path / "stop.txt").write_text("!")
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    text = (
        f'id_feature {{ feature_name: "i" expression: "user:i" vocab_file: "words.txt" asset_dir: "{tmp_path}" '
        "default_bucketize_value: 0 embedding_dim: 4 } }\n"
        f'feature_configs {{ tokenize_feature {{ feature_name: "t" expression: "user:t" embedding_dim: 4 '
        f'vocab_file: "{tmp_path}/tokenizer.json" '
        f'text_normalizer {{ max_length: 9 stop_char_file: "{tmp_path}/stop.txt" '
        "norm_options: [TEXT_UPPER2LOWER, TEXT_SPLITCHRS, TEXT_REMOVE_SPACE] } }"
    )
    # A file of its own, because the command checks what no feature generation needs.
    made = make_fg_json(parse_text(CONFIG.format(text), "x").feature_configs, ["row", "time"])
    first, norm, tokens = made.content["features"]
    digest = hashlib.md5(b"a\nb\n").hexdigest()
    assert first["vocab_file"] == f"words_{digest}.txt" and made.assets[f"words_{digest}.txt"] == b"a\nb\n"
    assert norm["stop_char_file"].startswith("stop_") and tokens["vocab_file"].startswith("tokenizer_")
    assert (norm["parameter"], norm["remove_space"], norm["max_length"]) == (4 + 512, True, 9)
    assert (norm["expression"], tokens["expression"]) == ("user:t", "feature:t__text_norm")
    assert made.content["reserves"] == ["row", "time"]
    removed = make_fg_json(parse_text(CONFIG.format(text), "x").feature_configs, remove_bucketizer=True)
    first, _, tokens = removed.content["features"]
    assert "vocab_file" not in first and first["default_bucketize_value"] == 0 and "vocab_file" in tokens


def test_removing_bucketizers():
    for option in ("hash_bucket_size: 5", "num_buckets: 5", 'vocab_list: "a"', 'vocab_dict { key: "a" value: 3 }'):
        text = f'id_feature {{ feature_name: "i" expression: "user:i" embedding_dim: 4 {option} }}'
        found = entry(text, remove_bucketizer=True)
        gone = {"hash_bucket_size", "num_buckets", "vocab_list", "vocab_dict", "boundaries"}
        assert not gone & found.keys() and ("default_bucketize_value" in found) == ("vocab" in option)


def test_the_app_writes_and_reads(tmp_path, capsys):
    features = 'raw_feature { feature_name: "r" expression: "user:r" } }\n'
    model = (
        'model_config { feature_groups { group_name: "deep" feature_names: "r" group_type: DEEP } '
        'multi_tower { towers { input: "deep" mlp { hidden_units: 4 } } final { hidden_units: 4 } } '
        "losses { binary_cross_entropy {} }"
    )
    train = (
        "train_config { sparse_optimizer { sgd_optimizer {} constant_learning_rate {} } "
        "dense_optimizer { sgd_optimizer {} constant_learning_rate {} } num_steps: 1 }"
    )
    (tmp_path / "x.config").write_text(train + CONFIG.format(features + model))
    target = tmp_path / "fg"
    flags = ["--config", str(tmp_path / "x.config"), "--fg_output_dir", str(target), "--reserves", "a,b"]
    assert create_fg_json.main(flags) == 0
    assert capsys.readouterr().out == f"1 entries in {target}/fg.json\n"
    assert json.loads((target / "fg.json").read_text())["reserves"] == ["a", "b"]
    with pytest.raises(UserError, match="is there already"):
        create_fg_json.main(flags)
    assert create_fg_json.main(["--from_fg_json", str(target / "fg.json")]) == 0
    assert 'feature_name: "r"' in capsys.readouterr().out
    with pytest.raises(ConfigError, match="cannot read"):
        entries(
            'id_feature { feature_name: "i" expression: "user:i" vocab_file: "none.txt" default_bucketize_value: 0 '
            "embedding_dim: 4 }"
        )
