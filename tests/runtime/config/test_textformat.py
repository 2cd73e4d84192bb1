"""The text reader against protobuf's own, and against damage of every kind."""

import re
import time
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import messages, spelled

from tzx.runtime.config import dump_config, parse_text
from tzx.runtime.config.loading import draft_config
from tzx.runtime.config.textformat import MAX_DEPTH
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

GOOD = sorted(Path(__file__).with_name("good").glob("*.config"))
REAL = (Path(__file__).with_name("good") / "dbmtl_sequences.config").read_text()
ROOTS = 'train_input_path: "a" eval_input_path: "b" model_dir: "c"\n'
SLOW_OK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)


def read(text: str) -> tuple[EasyRecConfig, list[str]]:
    """The message and the errors of reading alone, without required fields and rules."""
    from tzx.runtime.config.loading import _parse
    from tzx.runtime.config.source import Source

    draft = _parse(Source("x.config", text), is_json=False)
    return draft.config, [problem.render() for problem in draft.report.errors]


def same(a: EasyRecConfig, b: EasyRecConfig) -> bool:
    """Equality that lets nan equal nan."""
    return text_format.MessageToString(a) == text_format.MessageToString(b)


@given(spelled())
@SLOW_OK
def test_any_spelling_reads_as_protobuf_reads_it(case):
    message, text = case
    expected = text_format.Parse(text, EasyRecConfig())
    assert same(expected, message)
    found, errors = read(text)
    assert errors == []
    assert same(found, expected)


@given(messages())
@SLOW_OK
def test_dump_reads_back(message):
    found, errors = read(dump_config(message))
    assert errors == []
    assert same(found, message)


TOKENS = re.findall(r'"[^"\n]*"|#[^\n]*|[\w.]+|\s+|.', REAL)
PIECES = [*set(TOKENS), "{", "}", "<", ">", "[", "]", ":", ",", ";", '"', "'", "\\", "\x00", "é", "：", "-", "0x", "#"]  # noqa: RUF001


@st.composite
def damaged(draw) -> str:
    """A real config with a few tokens replaced, dropped, doubled or cut off."""
    tokens = list(TOKENS)
    start = draw(st.integers(0, len(tokens) - 60))
    tokens = draw(st.sampled_from([tokens, tokens[start : start + 60]]))[:]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens) - 1))
        tokens[at] = draw(st.sampled_from(["", tokens[at] * 2, draw(st.sampled_from(PIECES))]))
    end = draw(st.sampled_from([len(tokens), draw(st.integers(0, len(tokens)))]))
    return "".join(tokens[:end])


@given(damaged())
@settings(SLOW_OK, max_examples=300)
def test_damage_is_a_config_error_or_what_protobuf_reads(text: str):
    """What we accept, protobuf accepts with the same meaning; what it accepts, we accept, but for clashing oneofs."""
    found, errors = read(text)
    try:
        expected = text_format.Merge(text, EasyRecConfig())
    except text_format.ParseError:
        assert errors, "accepted what protobuf refuses"
    else:
        others = [error for error in errors if "are both set" not in error]
        assert others == []
        assert errors or same(found, expected)
    for error in errors:
        assert re.match(r"x\.config:\d+:\d+: ", error)


@given(damaged() | st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
@settings(SLOW_OK, max_examples=300)
def test_whole_check_raises_only_config_errors(text: str):
    draft = draft_config(text, "x.config")
    try:
        draft.report.raise_errors("x.config")
    except ConfigError as error:
        assert str(error)
    for warning in draft.warnings:
        assert warning.render()


@given(messages())
@SLOW_OK
def test_rules_take_any_message(message):
    draft_config(dump_config(message), "x.config")


@given(st.integers(0, len(REAL)))
@SLOW_OK
def test_truncation_is_one_screen(end: int):
    draft = draft_config(REAL[:end], "x.config")
    assert len(draft.report.errors) <= 12


@pytest.mark.parametrize(
    "text", ["{" * 500, "a { " * 500, "a: [" * 500, "a < " * 500 + "> " * 500, "[" * 5000, "a" * 9000]
)
def test_deep_nesting(text: str):
    with pytest.raises(ConfigError):
        parse_text(text)


def test_depth_limit_names_itself():
    struct = "value { struct_value { fields { key: 'a' " * 30
    head = "feature_configs { custom_feature { operator_params { fields { key: 'a' "
    with pytest.raises(ConfigError, match=f"nested more than {MAX_DEPTH} deep"):
        parse_text(head + struct + "} " * 94, "x.config")


def test_depth_that_is_read_can_be_written():
    levels = (MAX_DEPTH - 3) // 3
    inner = "fields { key: 'a' value { struct_value { " * levels + "}}}" * levels
    found, errors = read("feature_configs { custom_feature { operator_params { " + inner + "}}}")
    assert errors == []
    assert dump_config(found)


MESSAGES = {
    'train_input_path: "a': '1:19: string without a closing "',
    "train_input_path: a": '1:19: train_input_path takes a string; write "a"',
    'model_dir: "a" model_dir { }': "1:26: model_dir takes a string, not a block",
    "data_config: 5": '1:14: data_config takes a block { ... }, not "5"',
    "data_config: [1]": "1:14: data_config takes a block { ... }, not a list",
    "data_config { batch_size 5 }": '1:15: expected ":" between "batch_size" and its value',
    "data_config { batch_size: }": '1:15: expected a value after "batch_size"',
    "data_config { batch_size }": '1:15: expected ":" and a value after "batch_size"',
    "data_config { batch_size:\n num_workers: 3 }": '1:15: expected a value after "batch_size"',
    "data_config { batch_size: 1.5 }": '1:27: batch_size takes a whole number, not "1.5"',
    "data_config { batch_size: 4294967296 }": "1:27: batch_size takes a whole number from 0 to 4294967295, not",
    'data_config { batch_size: "8" }': '1:27: batch_size takes a whole number without quotes, not "8"',
    "data_config { pin_memory: yes }": '1:27: pin_memory takes true or false, not "yes"',
    "data_config { fg_mode: 9 }": '1:24: fg_mode takes a FgMode, not "9"; known: FG_NONE, FG_NORMAL, FG_DAG',
    "data_config { fg_mode: FG_DGA }": '1:24: fg_mode takes a FgMode, not "FG_DGA"; did you mean "FG_DAG"?',
    'data_config { label_fields: ["a" "b", c] }': '1:39: label_fields takes a string; write "c"',
    'data_config { label_fields: ["a", }': '1:35: expected a value in the list that begins on line 1, found "}"',
    "data_config { label_fields: ['a' 5] }": '1:34: expected "," or "]" in the list that begins on line 1, found "5"',
    "data_config { [ext]: 5 }": "1:15: expected a field name; [brackets] name a message type before a block only",
    "data_config { } }": '1:17: nothing is open that "}" could close',
    "data_config { >": '1:15: ">" closes the "{" of line 1',
    "data_config {": '1:1: "data_config" is not closed: "}" is missing before the end of the text',
    "data_config { batch_size：8 }": '1:25: unexpected character "：" (FULLWIDTH COLON); write ":"',  # noqa: RUF001
    "data_config { delimiter: “,” }": "(LEFT DOUBLE QUOTATION MARK); write strings in plain quotes",
    "data_config { batch_size: @ }": '1:27: unexpected character "@"',
    'model_dir: "\\xff"': "1:12: string is not valid UTF-8 after its escapes are resolved",
    "{ }": '1:1: expected a field name before "{"',
    "data_confg { batch_sise: 5 }": '1:1: EasyRecConfig has no field "data_confg"; did you mean "data_config"?',
    "model_config { deepfm {} dlrm {} }": '1:26: "dlrm" and "deepfm" (line 1) are both set; only one model is possible',
    "feature_configs { id_feature { vocab_dict: 5 } }": "vocab_dict takes a block { ... }, as { key: ... value: ... }",
}


@pytest.mark.parametrize("text", MESSAGES)
def test_message(text: str):
    _, errors = read(text)
    assert MESSAGES[text] in errors[0]


def test_missing_brace_is_told_once():
    lines = REAL.splitlines(keepends=True)
    closing = [number for number, line in enumerate(lines) if line.strip() == "}"]
    for number in closing:
        _, errors = read("".join(lines[:number] + lines[number + 1 :]))
        assert len(errors) == 1
        assert "is not closed" in errors[0]
        assert abs(int(errors[0].split(":")[1]) - number) <= 60


def test_scalar_set_twice_warns_with_both_lines_and_the_last_wins():
    draft = draft_config('model_dir: "a"\nmodel_dir: "b"\n', "x.config")
    assert draft.config.model_dir == "b"
    assert draft.warnings[0].message == '"model_dir" is set on line 1 and again on line 2; the last one counts'


def test_block_given_twice_warns_and_merges():
    draft = draft_config("data_config { batch_size: 1 }\ndata_config { num_workers: 2 }\n", "x.config")
    assert (draft.config.data_config.batch_size, draft.config.data_config.num_workers) == (1, 2)
    assert "the blocks are merged" in draft.warnings[0].message


def test_unknown_escape_is_kept_with_a_warning():
    draft = draft_config(r'model_dir: "a\.b"', "x.config")
    assert draft.config.model_dir == r"a\.b"
    assert r'"\." is not an escape' in draft.warnings[0].message


def test_map_key_given_twice_warns():
    text = 'feature_configs { id_feature { vocab_dict { key: "a" value: 2 } vocab_dict { key: "a" value: 3 } } }'
    draft = draft_config(text, "x.config")
    assert dict(draft.config.feature_configs[0].id_feature.vocab_dict) == {"a": 3}
    assert any("'a' twice" in warning.message for warning in draft.warnings)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_config_takes_less_than_50_ms(path: Path):
    text = path.read_text()
    draft_config(text, path.name)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        draft_config(text, path.name)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


def test_ten_thousand_mistakes_stay_quick_and_on_one_screen():
    text = ROOTS + "data_config {" + "\n".join(f"batch_siz{i}: 1" for i in range(10_000)) + "}"
    start = time.perf_counter()
    with pytest.raises(ConfigError) as raised:
        parse_text(text, "x.config")
    assert time.perf_counter() - start < 5
    assert len(str(raised.value).splitlines()) < 200
    assert "10000 errors in x.config" in str(raised.value)
