"""JSON configs against protobuf's own JSON."""

import json
import re
from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import messages

from tzx.runtime.config import dump_config, load_config, parse_text
from tzx.runtime.config.loading import draft_config
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

GOOD = sorted(Path(__file__).with_name("good").glob("*.config"))
SLOW_OK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)


def read(text: str) -> tuple[EasyRecConfig, list[str]]:
    """The message and the problems of reading, without required fields and rules."""
    from tzx.runtime.config.loading import _parse
    from tzx.runtime.config.source import Source

    draft = _parse(Source("x.json", text), is_json=True)
    return draft.config, [problem.render(with_excerpt=False) for problem in draft.report.errors]


@given(messages(), st.booleans(), st.booleans(), st.booleans())
@SLOW_OK
def test_reads_what_protobuf_writes(message, keep_names: bool, numbers: bool, compact: bool):
    try:
        text = json_format.MessageToJson(
            message,
            preserving_proto_field_name=keep_names,
            use_integers_for_enums=numbers,
            indent=None if compact else 2,
            ensure_ascii=compact,
        )
        expected = json_format.Parse(text, EasyRecConfig())
    except (json_format.Error, ValueError, TypeError):
        return  # a google.protobuf.Value without a kind has no JSON
    found, errors = read(text)
    assert errors == []
    assert text_format.MessageToString(found) == text_format.MessageToString(expected)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_good_configs_as_json(path: Path, tmp_path: Path):
    config = parse_text(path.read_text())
    copy = tmp_path / "copy.json"
    copy.write_text(json_format.MessageToJson(config))
    assert load_config(str(copy)) == config


REAL = json_format.MessageToJson(parse_text(GOOD[0].read_text()), preserving_proto_field_name=True)
TOKENS = re.findall(r'"[^"]*"|[\w.]+|\s+|.', REAL)


@given(st.data())
@SLOW_OK
def test_damage_is_a_config_error(data):
    tokens = list(TOKENS)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(tokens) - 1))
        tokens[at] = data.draw(st.sampled_from(["", "null", "5", '"', "[", "}", ",", "tru", "\\", "\x01", "{"]))
    text = "".join(tokens)
    draft = draft_config(text, "x.json")
    try:
        json.loads(text)
    except ValueError:
        assert draft.report.errors
    for problem in draft.report.problems:
        assert problem.render()


@pytest.mark.parametrize(
    "text", ["", "[]", "5", '{"a": ' * 500, "[" * 500, '{"data_config": {"batch_size": 1}} x', "\ufeff{}"]
)
def test_not_a_json_object(text: str):
    assert draft_config(text, "x.json").report.errors


MESSAGES = {
    '{"data_confg": {}}': '1:2: EasyRecConfig has no field "data_confg"; did you mean "data_config"?',
    '{\n "data_config": {"batchSise": 3}}': '2:18: DataConfig has no field "batchSise"; did you mean "batch_size"?',
    '{"data_config": {"batch_size": "x"}}': '1:32: batch_size takes a whole number without quotes, not "x"',
    '{"data_config": {"batch_size": 1.5}}': '1:32: batch_size takes a whole number, not "1.5"',
    '{"data_config": {"batch_size": [1]}}': "1:32: batch_size takes a whole number, not a list",
    '{"data_config": {"pin_memory": 1e400}}': '1:32: pin_memory takes true or false, not "1e400"',
    '{"data_config": {"fg_mode": "FG_DGA"}}': '1:29: fg_mode takes a FgMode, not "FG_DGA"; did you mean "FG_DAG"?',
    '{"data_config": 5}': '1:17: data_config takes a block { ... }, not "5"',
    '{"model_dir": 5}': '1:15: model_dir takes a string; write "5"',
    '{"model_dir": "a",}': '1:19: expected a field name in double quotes, found "}"',
    '{"model_dir" "a"}': '1:14: expected ":", found ""a""',
    '{"model_dir": tru}': '1:15: expected a value, found "tru"',
    '{"model_dir": "\\q"}': '1:15: not a valid JSON string, found ""\\q""',
    '{"model_dir": "\\ud800"}': "1:15: not a valid JSON string",
}


@pytest.mark.parametrize("text", MESSAGES)
def test_message(text: str):
    _, errors = read(text)
    assert f"x.json:{MESSAGES[text]}" in errors[0]


def test_conventions_of_protobuf_json():
    text = """{
      "modelDir": null,
      "data_config": {"batchSize": "12", "batch_cost_size": 3e2, "fgMode": 3, "sampleMaskProb": "NaN"},
      "feature_configs": [{"custom_feature": {
        "vocab_dict": {"a": 1, "b": "2"}, "boundaries": [1, "Infinity"],
        "operator_params": {"x": [1, "y", null, {"z": true}]}
      }}]
    }"""
    found, errors = read(text)
    assert errors == []
    expected = json_format.Parse(text, EasyRecConfig())
    assert text_format.MessageToString(found) == text_format.MessageToString(expected)
    assert not found.HasField("model_dir")


@pytest.mark.parametrize("depth", [5, 20, 30, 200])
def test_depth_that_is_read_can_be_written(depth: int):
    params = '{"a": ' * depth + "1" + "}" * depth
    config, errors = read(f'{{"feature_configs": [{{"custom_feature": {{"operator_params": {params}}}}}]}}')
    assert bool(errors) == (depth > 20)
    assert isinstance(dump_config(config), str)


def test_load_reports_a_json_config_with_places(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{\n  "data_config": {\n    "batch_size": "many"\n  }\n}')
    with pytest.raises(ConfigError, match=r"a\.json:3:19: batch_size takes a whole number"):
        load_config(str(path))
