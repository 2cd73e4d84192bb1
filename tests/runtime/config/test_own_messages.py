"""Messages of the user's own inside a config: read as strictly as tzx's, and never by a type that nobody registered."""

import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format

from tzx.runtime.config import dump_config, load_config, parse_text
from tzx.runtime.config import own_messages as own
from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.loading import Draft, draft_config
from tzx.runtime.config.model_pages import describe_own, smallest_config
from tzx.runtime.config.nodes import walk
from tzx.runtime.config.summary import summarize
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import module_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

# In no .py file of this folder: what protoc would make of it, entered by hand. Its names are those of tzx on purpose.
PROTO = """
name: "own_test.proto" package: "own_test" syntax: "proto2"
dependency: "tzx/runtime/protos/module.proto" dependency: "tzx/runtime/protos/tower.proto"
message_type {
  name: "DeepFM"
  field { name: "hidden" number: 1 label: LABEL_REQUIRED type: TYPE_SINT32 }
  field { name: "mlp" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".tzx.protos.MLP" }
  field { name: "activation" number: 3 label: LABEL_REPEATED type: TYPE_FIXED64 }
  field { name: "input" number: 4 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "inner" number: 5 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".own_test.DeepFM" }
}
message_type {
  name: "Tasks"
  field { name: "task_towers" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".tzx.protos.TaskTower" }
}
message_type {
  name: "Raw"
  field { name: "data" number: 1 label: LABEL_OPTIONAL type: TYPE_BYTES }
}
message_type {
  name: "Towers"
  field { name: "task_towers" number: 1 label: LABEL_REPEATED type: TYPE_STRING }
}
"""
CONFIG = smallest_config(CATALOG["DeepFM"])


def _message_class(name: str):
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName("own_test.proto")
    except KeyError:
        pool.AddSerializedFile(text_format.Parse(PROTO, descriptor_pb2.FileDescriptorProto()).SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"own_test.{name}"))


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_REGISTERED", {})
    assert own.register_message(_message_class("DeepFM")) == "own_test.DeepFM"
    assert own.register_message(_message_class("Tasks")) == "own_test.Tasks"


def model(body: str) -> str:
    return f"model_config {{ custom_model {{ {body} }} }}"


def held(config: EasyRecConfig):
    return own.inside(config.model_config.custom_model)


def problems(body: str, *sets: str, needs_own_types: bool = True) -> list[str]:
    report = draft_config(model(body), "x.config", sets, None, needs_own_types).report
    return [p.render(with_excerpt=False) for p in report.errors if not p.rule]


def whole(body: str, *sets: str, needs_own_types: bool = True) -> Draft:
    """A complete config with the body as its model."""
    text = re.sub(r"\bdeepfm \{.*?\n  \}", f"custom_model {{ {body} }}", CONFIG, flags=re.S)
    assert text != CONFIG
    return draft_config(text, "x.config", sets, None, needs_own_types)


BODY = "{ hidden: -3 mlp { hidden_units: [8, 4] } activation: [7, 9] inner { hidden: 1 } }"


@pytest.mark.parametrize("name", ["own_test.DeepFM", "type.googleapis.com/own_test.DeepFM", " own_test.DeepFM\n"])
@pytest.mark.parametrize("colon", ["", ":", " :"])
def test_reads_what_protobuf_reads(name: str, colon: str) -> None:
    text = model(f"[{name}]{colon} {BODY}")
    expected = text_format.Parse(model(f"[type.googleapis.com/own_test.DeepFM] {BODY}"), EasyRecConfig())
    assert parse_text(text) == expected
    assert parse_text(dump_config(expected)) == expected
    assert held(expected).mlp.hidden_units == [8, 4]


def test_reads_the_json_that_protobuf_writes(tmp_path: Path) -> None:
    expected = text_format.Parse(model(f"[type.googleapis.com/own_test.DeepFM] {BODY}"), EasyRecConfig())
    found = draft_config(json_format.MessageToJson(expected), "x.json")
    assert found.config == expected
    short = '{"model_config": {"custom_model": {"@type": "own_test.DeepFM", "hiden": 1}}}'
    (error,) = [p for p in draft_config(short, "x.json").report.errors if "has no field" in p.message]
    assert error.render(with_excerpt=False) == 'x.json:1:64: DeepFM has no field "hiden"; did you mean "hidden"?'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[own_test.DeepFM] { hiden: 3 }", '51: DeepFM has no field "hiden"; did you mean "hidden"?'),
        ("[own_test.DeepFM] { hidden: 2.5 }", '59: hidden takes a whole number, not "2.5"'),
        ("[own_test.DeepFM] { hidden: 1 mlp { use_bm: 1 } }", '67: MLP has no field "use_bm"; did you mean "use_bn"?'),
        ("[own_test.DeepFM] { }", '16: DeepFM needs "hidden"'),
        ("[own_test.DeepFM] { hidden: 1 inner { } }", '61: DeepFM needs "hidden"'),
        (
            "[own_test.DepFM] { }",
            '31: no message type "own_test.DepFM" is registered; did you mean "own_test.DeepFM"?; pass the file that '
            "calls register_model(MESSAGE, CLASS) for it as --user_module FILE",
        ),
        (
            "[tzx.protos.MLP] { hidden_units: 3 }",
            '31: no message type "tzx.protos.MLP" is registered; known: own_test.DeepFM, own_test.Tasks; pass the file '
            "that calls register_model(MESSAGE, CLASS) for it as --user_module FILE",
        ),
        (
            "hidden: 3",
            "31: custom_model takes one block, named by its message type: [package.Message] { ... }; found "
            '"hidden"',
        ),
        (
            'type_url: "own_test.DeepFM"',
            '31: custom_model takes one block, named by its message type: [package.Message] { ... }; found "type_url"',
        ),
        (
            "[own_test.DeepFM] { hidden: 1 } [own_test.Tasks] { }",
            "63: custom_model takes one block, named by its message type: [package.Message] { ... }; found "
            '"[own_test.Tasks]"',
        ),
    ],
)  # fmt: skip
def test_message(body: str, expected: str) -> None:
    assert problems(body) == [f"x.config:1:{expected}"]


def test_empty_is_told() -> None:
    errors = [p.message for p in draft_config(model(""), "x.config").report.errors]
    assert "custom_model is empty; write in it [package.Message] { ... }" in errors


def test_a_name_in_brackets_fits_nowhere_else() -> None:
    errors = draft_config("train_config { [own_test.DeepFM] { hidden: 1 } }", "x.config").report.errors
    (error,) = [p for p in errors if "has no field" in p.message]
    assert error.render().startswith('x.config:1:16: TrainConfig has no field "[own_test.DeepFM]"')


def test_nothing_is_known_before_something_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_REGISTERED", {})
    (problem,) = problems("[own_test.DeepFM] { hidden: 1 }")
    assert 'no message type "own_test.DeepFM" is registered, nor any other; pass the file' in problem


def test_overrides_reach_into_the_message() -> None:
    sets = ("hidden=5", "mlp.hidden_units[1]=6", "inner.mlp.use_bn=true", "activation=[1]")
    draft = whole(f"[own_test.DeepFM] {BODY}", *(f"model_config.custom_model.{text}" for text in sets))
    message = held(draft.config)
    assert (message.hidden, list(message.mlp.hidden_units), list(message.activation)) == (5, [8, 6], [1])
    assert message.inner.mlp.use_bn and message.inner.hidden == 1


def test_an_override_may_bring_the_whole_message() -> None:
    draft = draft_config(CONFIG, "x.config", ["model_config.custom_model=[own_test.DeepFM] { hidden: 4 }"])
    assert draft.report.errors == [] and held(draft.config).hidden == 4
    assert [p.message for p in draft.warnings] == ['"custom_model" takes the place of "deepfm"']
    edit = '{"model_config.custom_model": {"@type": "own_test.DeepFM", "hidden": 6}}'
    assert held(draft_config(CONFIG, "x.config", (), edit).config).hidden == 6


def test_an_override_that_does_not_fit_is_told() -> None:
    text = "model_config.custom_model.hiden=5"
    assert problems(f"[own_test.DeepFM] {BODY}", text) == [
        f'--set {text}: DeepFM has no field "hiden"; did you mean "hidden"?'
    ]


def test_names_that_tzx_uses_too_mean_nothing() -> None:
    """No rule takes own_test.DeepFM for the DeepFM of tzx, or `input` for a feature group."""
    draft = whole('[own_test.DeepFM] { hidden: 1 input: "no group" activation: 4 }')
    assert [p.render() for p in draft.report.errors] == []
    assert "own_test.DeepFM; binary_cross_entropy" in summarize(draft.config)


def test_rules_see_messages_of_tzx_inside() -> None:
    (error,) = whole('[own_test.DeepFM] { hidden: 1 mlp { hidden_units: 4 activation: "nn.Relu" } }').report.errors
    assert error.rule == "activation_known"
    errors = whole("[own_test.Tasks] { }").report.errors
    assert [e.message for e in errors] == ["own_test.Tasks needs task_towers, one for each label to predict"]


def test_types_that_are_not_needed_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = whole(f"[own_test.DeepFM] {BODY}").config
    (tmp_path / "x.config").write_text(dump_config(config))
    monkeypatch.setattr(own, "_REGISTERED", {})
    sets = ["model_config.custom_model.hidden=5", "data_config.batch_size=7"]
    found = load_config(str(tmp_path / "x.config"), sets, needs_own_types=False)
    assert found.data_config.batch_size == 7 and found.feature_configs == config.feature_configs
    with pytest.raises(ConfigError, match="1 error in") as caught:
        load_config(str(tmp_path / "x.config"), sets)
    assert "is registered, nor any other" in str(caught.value)


def test_walk_yields_the_message_at_the_path_of_its_holder() -> None:
    config = parse_text(model(f"[own_test.DeepFM] {BODY}"))
    at = {node.path: node.message.DESCRIPTOR.full_name for node in walk(config)}
    assert at["model_config", "custom_model"] == "own_test.DeepFM"
    assert at["model_config", "custom_model", "mlp"] == "tzx.protos.MLP"


def test_a_message_inside_itself_is_described_once() -> None:
    text = describe_own(_message_class("DeepFM").DESCRIPTOR)
    assert text.splitlines()[2:4] == ["    hidden: required int32", "    mlp: MLP"]
    assert text.count("inner: DeepFM") == 1


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (dict, "is neither a name nor a message class"),
        (module_pb2.MLP, "tzx.protos.MLP comes with tzx; give its name, 'MLP', instead"),
        ("Raw", "own_test.Raw cannot stand in a config: Raw.data is of type bytes or a group"),
        ("Towers", "Towers.task_towers must be repeated tzx.protos.TaskTower"),
    ],
)
def test_registering(message, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        own.register_message(_message_class(message) if isinstance(message, str) else message)
