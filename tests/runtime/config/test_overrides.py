"""Overrides from --set and from TorchEasyRec's edit_config_json."""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tzx.runtime.config import load_config
from tzx.runtime.config.loading import Draft, draft_config
from tzx.runtime.config.paths import PathError, parse_path, split_assignment
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos import data_pb2, feature_pb2
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

REAL = Path(__file__).with_name("good") / "dbmtl_sequences.config"
TEXT = REAL.read_text()


def edit(*sets: str, edit_json: object = None) -> Draft:
    text = None if edit_json is None else edit_json if isinstance(edit_json, str) else json.dumps(edit_json)
    return draft_config(TEXT, "x.config", sets, text)


def edited(*sets: str, edit_json: object = None) -> EasyRecConfig:
    draft = edit(*sets, edit_json=edit_json)
    refused = [p for p in draft.report.errors if p.place and not p.place.source.is_file and not p.rule]
    assert [problem.render() for problem in refused] == []
    return draft.config


def refusal(*sets: str, edit_json: object = None) -> str:
    errors = edit(*sets, edit_json=edit_json).report.errors
    return next(error.render() for error in errors if error.place and not error.place.source.is_file)


def features(config: EasyRecConfig) -> list[feature_pb2.FeatureConfig]:
    return list(config.feature_configs)


def test_scalars_of_every_kind():
    config = edited(
        "train_config.num_steps=0x10",
        "train_config.mixed_precision=FP16",
        "train_config.use_tensorboard=false",
        "data_config.fg_mode=FG_DAG",
        "data_config.dataset_type=3",
        "model_dir=/tmp/with space=and,marks{",
        "train_config.dense_optimizer.adam_optimizer.lr=1e-4",
    )
    assert config.train_config.num_steps == 16
    assert config.train_config.mixed_precision == "FP16"
    assert config.train_config.use_tensorboard is False
    assert config.data_config.fg_mode == data_pb2.FG_DAG
    assert config.data_config.dataset_type == data_pb2.CsvDataset
    assert config.model_dir == "/tmp/with space=and,marks{"
    assert config.train_config.dense_optimizer.adam_optimizer.lr == pytest.approx(1e-4)


def test_later_ones_win_and_edit_json_comes_first():
    config = edited("data_config.batch_size=2", "data_config.batch_size=3", edit_json={"data_config.batch_size": 9})
    assert config.data_config.batch_size == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"quoted"', "quoted"), ("'a' 'b'", "ab"), (r'"\x03"', "\x03"), ("plain", "plain"), ('"', '"'), (r"a\d", r"a\d")],
)
def test_strings_need_no_quotes(value: str, expected: str):
    assert edited(f"data_config.delimiter={value}").data_config.delimiter == expected


def test_empty_value_clears():
    config = edited("train_config.num_epochs=", "data_config.label_fields=", 'data_config.delimiter=""')
    assert not config.train_config.HasField("num_epochs")
    assert list(config.data_config.label_fields) == []
    assert config.data_config.HasField("delimiter")
    assert config.data_config.delimiter == ""


def test_lists_are_replaced_as_a_whole():
    config = edited('data_config.label_fields=["a", b]', "data_config.sample_weight_fields=w")
    assert list(config.data_config.label_fields) == ["a", "b"]
    assert list(config.data_config.sample_weight_fields) == ["w"]


def test_items_of_lists():
    config = edited("data_config.label_fields[1]=x", "data_config.label_fields[-2]=y")
    assert list(config.data_config.label_fields) == ["y", "x"]
    assert list(edited("data_config.label_fields[0]=").data_config.label_fields) == ["buy"]


def test_selectors():
    config = edited(
        "feature_configs[0].id_feature.embedding_dim=8",
        "feature_configs[-2].raw_feature.pooling=mean",
        "feature_configs[0:2].id_feature.init_fn=nn.init.zeros_",
        "feature_configs[id_feature.feature_name=item_id].id_feature.embedding_name=shared",
        "feature_configs[sequence_feature.sequence_name=click_50_seq].sequence_feature.sequence_length=20",
    )
    assert features(config)[0].id_feature.embedding_dim == 8
    assert features(config)[2].raw_feature.pooling == "mean"
    assert [f.id_feature.init_fn for f in features(config)[:2]] == ["nn.init.zeros_"] * 2
    assert features(config)[1].id_feature.embedding_name == "shared"
    assert features(config)[3].sequence_feature.sequence_length == 20


def test_the_set_member_of_a_oneof_may_be_left_out():
    config = edited(
        "feature_configs[feature_name=price].embedding_dim=4",
        "model_config.task_towers[tower_name=cvr].weight=2",
        "train_config.sparse_optimizer.lr=0.5",
    )
    assert features(config)[2].raw_feature.embedding_dim == 4
    assert config.model_config.dbmtl.task_towers[1].weight == 2
    assert config.train_config.sparse_optimizer.adagrad_optimizer.lr == 0.5


def test_all_items_that_have_the_field():
    config = edited("feature_configs[:].id_feature.embedding_dim=4", "feature_configs[:].boundaries=[1, 2]")
    assert [f.id_feature.embedding_dim for f in features(config)[:2]] == [4, 4]
    assert features(config)[2].WhichOneof("feature") == "raw_feature"
    assert list(features(config)[2].raw_feature.boundaries) == [1, 2]


def test_messages_as_text():
    config = edited(
        "data_config={ dataset_type: CsvDataset batch_size: 5 }",
        "feature_configs[0]={ raw_feature { feature_name: 'r' expression: 'user:r' } }",
        "model_config.feature_groups[group_name=all].sequence_encoders=[{ pooling_encoder { input: 'click' } }]",
    )
    assert text_format.MessageToString(config.data_config) == "batch_size: 5\ndataset_type: CsvDataset\n"
    assert features(config)[0].raw_feature.feature_name == "r"
    assert [e.WhichOneof("seq_module") for e in config.model_config.feature_groups[0].sequence_encoders] == [
        "pooling_encoder"
    ]


def test_fields_of_a_message_may_stand_without_braces():
    config = edited("train_config.grad_clipping=clipping_type: 'value' max_gradient: 3")
    assert text_format.MessageToString(config.train_config.grad_clipping) == (
        'clipping_type: "value"\nmax_gradient: 3.0\n'
    )


@pytest.mark.parametrize(
    ("condition", "chosen"),
    [
        ("num_buckets=1141730", [0]),
        ("num_buckets>5", [0]),
        ("hash_bucket_size<=846812", [0, 1]),
        ("hash_bucket_size<846812", [0]),
        ("id_feature.hash_bucket_size>=846812", [1]),
        ("trainable=True", [0, 1, 2]),
        ("embedding_dim=1.6e1", [0, 1, 2]),
        ("boundaries[0]=1.1", [2]),
        ("feature_name='price'", [2]),
        ("feature_name > 5", []),
    ],
)
def test_conditions(condition: str, chosen: list[int]):
    draft = edit(f"feature_configs[{condition}].pooling=mean")
    members = [getattr(f, f.WhichOneof("feature")) for f in features(draft.config)[:3]]
    assert [index for index, member in enumerate(members) if member.pooling == "mean"] == chosen
    assert bool(draft.report.errors) == (not chosen)


def test_another_member_of_a_oneof_takes_over_with_a_warning():
    draft = edit("train_config.sparse_optimizer.adam_optimizer.lr=0.1", "model_config.multi_tower={ final {} }")
    assert draft.config.train_config.sparse_optimizer.WhichOneof("optimizer") == "adam_optimizer"
    assert draft.config.model_config.WhichOneof("model") == "multi_tower"
    messages = [warning.message for warning in draft.warnings]
    assert '"adam_optimizer" takes the place of "adagrad_optimizer"' in messages


def test_maps():
    base = "feature_configs[0].id_feature"
    config = edited(f"{base}.num_buckets=", f"{base}.vocab_dict=[{{ key: 'a' value: 2 }}, {{ key: 'b' value: 3 }}]")
    assert dict(features(config)[0].id_feature.vocab_dict) == {"a": 2, "b": 3}


REFUSALS = {
    "train_config.num_stps=10": 'TrainConfig has no field "num_stps"; did you mean "num_steps"?',
    "trainconfig.num_steps=10": 'EasyRecConfig has no field "trainconfig"; did you mean "train_config"?',
    "train_config.num_steps=ten": 'num_steps takes a whole number, not "ten"',
    "train_config.num_steps=-1": "num_steps takes a whole number from 0 to 4294967295",
    "train_config.num_steps=1 2": "text after the value",
    "train_config.num_steps={}": "num_steps takes a whole number, not a block",
    "train_config.num_steps.x=1": '"num_steps" is a uint32 and has no fields',
    "train_config.num_steps[0]=1": '"num_steps" is not a list',
    "train_config[0].num_steps=1": '"train_config" is not a list',
    "data_config.fg_mode=FG_DAGS": 'fg_mode takes a FgMode, not "FG_DAGS"; did you mean "FG_DAG"?',
    "train_config.grad_clipping={ norm_typ: 3 }": 'GradClipping has no field "norm_typ"; did you mean "norm_type"?',
    "train_config.grad_clipping={ norm_type: 3": "is missing before the end of the text",
    "train_config.num_steps": 'expected "path=value"',
    "=5": "expected a field name in the path",
    "train_config.=5": "expected a field name in the path",
    "train_config..num_steps=5": "expected a field name in the path",
    "data_config.label_fields[0=x": 'expected "path=value"',
    "data_config.label_fields[9]=x": '"label_fields" has 2 items; there is no [9]',
    "data_config.label_fields[5:]=x": '"label_fields" has 2 items; none is in that range',
    "data_config.label_fields[first]=x": "expected [index], [from:to], [:] or [field=value]",
    "data_config.label_fields[a=b]=x": '"label_fields" holds strings without fields',
    "data_config.label_fields[0]=[a]": '"label_fields" holds single values',
    "feature_configs.id_feature.embedding_dim=4": '"feature_configs" has 4 items; choose one, as in feature_configs[0]',
    "feature_configs[feature_name=pryce].embedding_dim=4": 'has feature_name=pryce; did you mean "price"?',
    "feature_configs[colour=red].embedding_dim=4": 'no item has "colour"',
    "feature_configs[0].embeding_dim=4": 'FeatureConfig has no field "embeding_dim"; did you mean "embedding_dim"?',
    "feature_configs[:].embeding_dim=4": 'nothing has "embeding_dim"',
    "train_config.grad_clipping=5": "expected ",
    "feature_configs[0]=5": '"feature_configs" holds blocks { ... }',
    "feature_configs[2].raw_feature.boundaries[0]=low": 'boundaries takes a number, not "low"',
    "feature_configs[0].id_feature.vocab_dict.a=5": '"vocab_dict" is a map; set it as a whole',
}


@pytest.mark.parametrize("override", REFUSALS)
def test_refusals_name_the_override_and_the_nearest_name(override: str):
    message = refusal(override)
    assert message.startswith(f"--set {override}: ")
    assert REFUSALS[override] in message


def test_rules_see_overridden_values_and_blame_the_override():
    draft = edit("train_config.mixed_precision=FP8")
    assert draft.report.errors[0].render().startswith("--set train_config.mixed_precision=FP8: mixed_precision must be")


def test_num_steps_takes_the_place_of_num_epochs():
    draft = edit("train_config.num_steps=10")
    assert not draft.config.train_config.HasField("num_epochs")
    assert draft.report.errors == []
    assert '"num_steps" takes the place of "num_epochs"' in draft.warnings[0].render()
    assert edited("train_config.num_steps=10", "train_config.num_epochs=2").train_config.num_steps == 0
    assert edited("train_config.num_steps=0").train_config.num_epochs == 1


def test_edit_json_values():
    config = edited(
        edit_json={
            "data_config.batch_size": 7,
            "data_config.num_workers": "3",
            "data_config.shuffle": True,
            "data_config.pin_memory": "False",
            "data_config.fg_mode": "FG_NORMAL",
            "data_config.label_fields": ["a", "b"],
            "data_config.delimiter": ";",
            "train_config.grad_clipping": {"clippingType": "value"},
            "feature_configs[0:2].id_feature.embedding_dim": 4,
            "feature_configs[raw_feature.feature_name=price].raw_feature.boundaries": [1, 2.5],
        }
    )
    data = config.data_config
    assert (data.batch_size, data.num_workers, data.shuffle, data.pin_memory) == (7, 3, True, False)
    assert (data.fg_mode, list(data.label_fields), data.delimiter) == (data_pb2.FG_NORMAL, ["a", "b"], ";")
    assert text_format.MessageToString(config.train_config.grad_clipping) == 'clipping_type: "value"\n'
    assert [f.id_feature.embedding_dim for f in features(config)[:2]] == [4, 4]
    assert list(features(config)[2].raw_feature.boundaries) == [1, 2.5]


@pytest.mark.parametrize(
    ("value", "expected"), [("5;6", (5, 6)), ([5, 6], (5, 6)), (5, (5, 5)), (" 5 ; 6 ", (5, 6)), ("5", (5, 5))]
)
def test_edit_json_joined_keys(value: object, expected: tuple[int, int]):
    config = edited(edit_json={"data_config.batch_size;data_config.num_workers": value})
    assert (config.data_config.batch_size, config.data_config.num_workers) == expected


JSON_REFUSALS = [
    ({"train_config.num_stps": 10}, "--edit_config_json train_config.num_stps: TrainConfig has no field"),
    ({"data_config.batch_size": "x"}, "--edit_config_json data_config.batch_size: batch_size takes a whole number"),
    ({"data_config.batch_size": [1]}, "batch_size takes a whole number, not a list"),
    ({"data_config.batch_size;data_config.num_workers": "1;2;3"}, "names 2 fields and gives 3 values"),
    ("{", "--edit_config_json: not JSON"),
    ("[1]", "--edit_config_json: expected a JSON object from path to value"),
    ("[" * 100_000, "--edit_config_json: not JSON"),
    ({"": 1}, "expected a path as the name of each value"),
]


@pytest.mark.parametrize(("edits", "expected"), JSON_REFUSALS, ids=[str(edits)[:40] for edits, _ in JSON_REFUSALS])
def test_edit_json_refusals(edits: object, expected: str):
    assert expected in refusal(edit_json=edits)


def test_a_file_cannot_be_saved_from_its_own_mistakes_by_an_override(tmp_path: Path):
    path = tmp_path / "a.config"
    path.write_text(TEXT.replace("num_epochs: 1", "num_epoks: 1"))
    with pytest.raises(ConfigError) as raised:
        load_config(str(path), ["train_config.num_steps=5", "nonsense=1"])
    assert "num_epoks" in str(raised.value)
    assert "--set nonsense=1" in str(raised.value)
    assert "2 errors" in str(raised.value)


PARTS = [
    "a",
    "data_config",
    "feature_configs",
    "[0]",
    "[:]",
    "[1:]",
    "[a=b]",
    "[",
    "]",
    ".",
    "=",
    "{",
    "}",
    '"',
    "5",
    ";",
    "é",
]
SLOW_OK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=300)


@given(st.lists(st.sampled_from(PARTS), max_size=10).map("".join) | st.text(max_size=20))
@SLOW_OK
def test_any_override_is_applied_or_refused(override: str):
    draft = draft_config('feature_configs { id_feature { feature_name: "a" } }', "x.config", [override])
    for problem in draft.report.problems:
        assert problem.render()


@given(
    st.dictionaries(st.text(max_size=12) | st.sampled_from(["data_config", "a;b"]), st.integers() | st.text(max_size=5))
)
@SLOW_OK
def test_any_edit_json_is_applied_or_refused(edits: dict):
    draft = draft_config("", "x.config", (), json.dumps(edits))
    for problem in draft.report.problems:
        assert problem.render()


def test_paths():
    steps = parse_path("a.b[1].c[x.y[0]=d e]", 0, 20)
    assert [step.name for step in steps] == ["a", "b", "c"]
    assert steps[1].selector.index == 1
    assert (steps[2].selector.key, steps[2].selector.value) == ("x.y[0]", "d e")
    assert split_assignment("a[b=c].d=e=f") == 8
    with pytest.raises(PathError, match="without"):
        parse_path("a[0", 0, 3)
