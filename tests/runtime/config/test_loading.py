"""Finding, reading and reporting a config as a whole, and the questions other floors ask about it."""

import logging
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from tzx.runtime.config import dump_config, effective_fg_mode, load_config, parse_text, which_feature
from tzx.runtime.config.loading import draft_config
from tzx.runtime.config.problems import nearest
from tzx.runtime.config.summary import summarize, tables_of
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import data_pb2, feature_pb2

GOOD = Path(__file__).with_name("good")
REAL = GOOD / "dbmtl_sequences.config"


def test_load_returns_the_message_and_logs_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "a.config"
    path.write_text(REAL.read_text().replace("batch_size: 8192", "batch_size: 1\n    batch_size: 2"))
    with caplog.at_level(logging.WARNING, logger="tzx"):
        config = load_config(str(path))
    assert config.data_config.batch_size == 2
    assert len(caplog.records) == 1
    expected = f'{path}:37:5: warning: "batch_size" is set on line 36 and again on line 37'
    assert expected in caplog.records[0].getMessage()


@pytest.mark.parametrize("path", sorted(GOOD.glob("*.config")), ids=lambda path: path.name)
def test_dump_reads_back(path: Path):
    config = load_config(str(path))
    assert parse_text(dump_config(config)) == config


def test_missing_file_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no such file; did you mean .*dbmtl_sequences\.config\?"):
        load_config(str(GOOD / "dbmtl_sequence.config"))


def test_missing_folder(tmp_path: Path):
    with pytest.raises(ConfigError, match="does not exist either"):
        load_config(str(tmp_path / "nowhere" / "a.config"))


def test_folder_instead_of_a_file():
    with pytest.raises(ConfigError, match="is a directory"):
        load_config(str(GOOD))


def test_not_text(tmp_path: Path):
    path = tmp_path / "a.config"
    path.write_bytes(b"model_dir: 'a\xff'")
    with pytest.raises(ConfigError, match="byte 13 is not UTF-8"):
        load_config(str(path))


def test_nul_in_path():
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config("a\0b.config")


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path):
    path = tmp_path / "a.config"
    path.write_bytes(b"\xef\xbb\xbf" + REAL.read_bytes().replace(b"\n", b"\r\n"))
    assert load_config(str(path)) == load_config(str(REAL))


def test_any_file_system():
    with fsspec.open("memory://configs/a.config", "w") as file:
        file.write(REAL.read_text())
    assert load_config("memory://configs/a.config") == load_config(str(REAL))
    with pytest.raises(ConfigError, match="no such file"):
        load_config("memory://configs/b.config")


def test_empty_file_lists_what_is_missing(tmp_path: Path):
    path = tmp_path / "a.config"
    path.write_text("")
    with pytest.raises(ConfigError, match="there is no model_config"):
        load_config(str(path))


def test_required_fields():
    text = """
    train_config { sparse_optimizer { sgd_optimizer {} } }
    feature_configs { id_feature { expression: "user:a" } }
    feature_configs { id_feature { feature_name: "b" } }
    data_config { %s }
    """
    with pytest.raises(ConfigError) as raised:
        parse_text(text % "fg_mode: FG_DAG")
    message = str(raised.value)
    assert '<config>:2:5: TrainConfig needs "dense_optimizer"' in message
    assert '<config>:3:23: IdFeature needs "feature_name"' in message
    assert '<config>:4:23: IdFeature needs "expression"' in message
    assert "lr" not in message, "a required field with a default is a warning"
    with pytest.raises(ConfigError) as raised:
        parse_text(text % "")
    assert '"expression"' not in str(raised.value), "finished features need no input expression"


@pytest.mark.parametrize(("name", "expected"), [('group_name: "clicks"', "clicks"), ("", "deep")])
def test_an_encoder_without_input_reads_the_only_sequence_group(name: str, expected: str):
    text = """model_config { feature_groups {
        group_name: "deep" sequence_groups { %s feature_names: "a" } %s
        sequence_encoders { pooling_encoder {} } sequence_encoders { self_attention_encoder {} } } }"""
    (group,) = parse_text(text % (name, "")).model_config.feature_groups
    assert [getattr(e, e.WhichOneof("seq_module")).input for e in group.sequence_encoders] == [expected, expected]
    with pytest.raises(ConfigError, match='PoolingEncoder needs "input"'):
        parse_text(text % (name, 'sequence_groups { group_name: "b" feature_names: "b" }'))


def test_a_number_that_may_be_zero_is_a_warning():
    towers = "user_tower { input: 'u' history_input: 'h' user_mlp {} concat_mlp {} capsule_config {} }"
    draft = draft_config(f"model_config {{ mind {{ {towers} }} }}", "x.config")
    assert any("output_dim" in warning.message for warning in draft.warnings)
    assert not any("output_dim" in error.message for error in draft.report.errors)
    assert any("max_seq_len" in error.message for error in draft.report.errors)


def test_required_fields_of_a_misspelt_name_are_told_once():
    with pytest.raises(ConfigError) as raised:
        parse_text("train_config { sparse_optimiser {} dense_optimizer {} }")
    assert "1 error in <config>" in str(raised.value)


def test_which_feature():
    config = feature_pb2.FeatureConfig(sequence_raw_feature=feature_pb2.RawFeature(feature_name="a"))
    assert which_feature(config) == ("sequence_raw_feature", config.sequence_raw_feature)
    assert which_feature(feature_pb2.SeqFeatureConfig())[0] == ""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, data_pb2.FG_NONE),
        ({"fg_mode": data_pb2.FG_DAG}, data_pb2.FG_DAG),
        ({"fg_encoded": True}, data_pb2.FG_NONE),
        ({"fg_encoded": False}, data_pb2.FG_DAG),
        ({"fg_encoded": False, "fg_threads": 0}, data_pb2.FG_NORMAL),
        ({"fg_encoded": False, "fg_mode": data_pb2.FG_BUCKETIZE}, data_pb2.FG_BUCKETIZE),
    ],
)
def test_effective_fg_mode(fields: dict, expected: int):
    assert effective_fg_mode(data_pb2.DataConfig(**fields)) == expected


def test_tables_and_summary():
    config = load_config(str(REAL))
    tables = tables_of(config)
    assert {name: (table.rows, table.dim) for name, table in tables.items()} == {
        "user_id_emb": (1141730, 16),
        "item": (846812, 16),
        "price_emb": (7, 16),
        "click_50_seq__price_emb": (7, 16),
    }
    expected = [
        "  model     DBMTL; ctr: binary_cross_entropy, measured by auc, grouped_auc; cvr: jrc_loss, measured by auc",
        "  features  5 (5 sparse), 2 of them in sequences; FG_NONE",
        "  groups    all (DEEP 3 + 1 sequences)",
        "  tables    4 with 1,988,556 rows, 31.82 million embedding parameters (127 MB)",
        "  data      ParquetDataset, batches of 8192; labels clk, buy",
        "  training  1 epoch; tables by adagrad, the rest by adam",
    ]
    assert summarize(config).splitlines() == expected


def test_wide_tables_suffixes_and_files():
    config = load_config(str(GOOD / "operators.config"))
    tables = tables_of(config)
    assert (tables["id_emb_wide"].rows, tables["id_emb_wide"].dim) == (1000, 4)
    assert tables["title_emb"].rows is None
    assert "and 1 whose rows a file decides" in summarize(config)


def test_nearest():
    assert nearest("numSteps", ["num_epochs", "num_steps"]) == "num_steps"
    assert nearest("fetaure", ["feature", "label"]) == "feature"
    assert nearest("zzz", ["feature", "label"]) is None


def test_nearest_over_all_field_names():
    """Nearly every slip of one letter leads back to the field that was meant."""
    from tzx.runtime.config.schema import fields_of
    from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

    names: set[str] = set()

    def collect(descriptor) -> None:
        for spec in fields_of(descriptor).values():
            if spec.name not in names:
                names.add(spec.name)
                if spec.message is not None:
                    collect(spec.message)

    collect(EasyRecConfig.DESCRIPTOR)
    long = [name for name in sorted(names) if len(name) > 5]
    slips = [name[: len(name) // 2] + name[len(name) // 2 + 1 :] for name in long]
    found = sum(nearest(slip, names) == name for slip, name in zip(slips, long, strict=True))
    assert found / len(long) > 0.97


def test_config_floor_imports_no_torch():
    code = "import sys, tzx.runtime.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
