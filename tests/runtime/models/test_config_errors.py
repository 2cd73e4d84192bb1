"""A config that does not fit is refused before data is read, with place, given and allowed."""

import logging

import model_zoo
import pytest

from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.models import Model, RankModel, available_models, build_model, register_model
from tzx.runtime.models.rank.wide_and_deep import WideAndDeep

BCE = "losses { binary_cross_entropy {} }"
DEEPFM = "deepfm { deep { hidden_units: 4 } }"


def group(name, features, kind="DEEP"):
    return f'feature_groups {{ group_name: "{name}" feature_names: {features} group_type: {kind} }}'.replace("'", '"')


WIDE, DEEP = group("wide", ["user"], "WIDE"), group("deep", ["user", "item"])
SEQ = group("seq", ["item", "seen", "paid"], "SEQUENCE")

BAD = {
    "no model": (f"{DEEP} {BCE}", "model_config sets no model; set one of dlrm, deepfm"),
    "no such model": (
        f"{DEEP} {BCE} tdm {{ multiwindow_din {{ windows_len: 1 attn_mlp {{}} }} final {{}} }}",
        "model_config.tdm: model TDM is not available; available: AutoInt, ",
    ),
    "no groups": (f"{BCE} {DEEPFM}", "model_config.feature_groups is empty"),
    "missing group": (
        f"{WIDE} {group('deeep', ['user'])} {BCE} {DEEPFM}",
        "model_config.deepfm needs a feature group 'deep' of type DEEP; did you mean \"deeep\"?",
    ),
    "wrong type": (
        f"{group('wide', ['user'])} {DEEP} {BCE} {DEEPFM}",
        "feature group 'wide' is of group_type DEEP, but model_config.deepfm needs WIDE there",
    ),
    "unequal dims": (
        f"{WIDE} {group('deep', ['user', 'city', 'item'])} {BCE} {DEEPFM}",
        "model_config.deepfm: features of group 'deep' must all have the same embedding_dim; expected 4 as 2 of 3 "
        "features have, given: city has 6",
    ),
    "no losses": (f"{WIDE} {DEEP} {DEEPFM}", "model_config.losses is empty; set at least one"),
    "loss and classes": (
        f"{WIDE} {DEEP} {DEEPFM} {BCE} num_class: 2",
        "model_config.losses[0]: loss binary_cross_entropy needs num_class 1, given 2",
    ),
    "loss twice": (f"{WIDE} {DEEP} {DEEPFM} {BCE} {BCE}", "model_config.losses: binary_cross_entropy is given 2 times"),
    "metric and loss": (
        f"{WIDE} {DEEP} {DEEPFM} losses {{ l2_loss {{}} }} metrics {{ auc {{}} }}",
        "model_config.metrics[0]: metric auc needs the probability of one of two classes",
    ),
    "metric twice": (
        f"{WIDE} {DEEP} {DEEPFM} {BCE} metrics {{ auc {{}} }} metrics {{ auc {{ thresholds: 9 }} }}",
        "model_config.metrics: auc is given 2 times",
    ),
    "train metric": (
        f"{WIDE} {DEEP} {DEEPFM} {BCE} train_metrics {{ recall_at_k {{}} }}",
        "model_config.train_metrics[0]: metric recall_at_k needs the prediction 'similarity'",
    ),
    "grouping key unknown": (
        f'{WIDE} {DEEP} {DEEPFM} {BCE} metrics {{ grouped_auc {{ grouping_key: "usr" }} }}',
        "grouped_auc: grouping_key 'usr' is no feature; it must be a sparse feature without sequence, or a label "
        'column; did you mean "user"?',
    ),
    "grouping key dense": (
        f'{WIDE} {DEEP} {DEEPFM} {BCE} metrics {{ grouped_auc {{ grouping_key: "age" }} }}',
        "grouping_key 'age' is a dense or sequence feature",
    ),
    "session unknown": (
        f'{WIDE} {DEEP} {DEEPFM} num_class: 2 losses {{ jrc_loss {{ session_name: "usr" }} }}',
        "model_config.losses[0].jrc_loss: session_name 'usr' is no feature; it must be a sparse feature without "
        'sequence, or a label column; did you mean "user"?',
    ),
    "pareto": (
        f"{DEEP} use_pareto_loss_weight: true mmoe {{ expert_mlp {{}} "
        f'task_towers {{ tower_name: "a" label_name: "click" pareto_min_loss_weight: 0.75 {BCE} }} '
        f'task_towers {{ tower_name: "b" label_name: "buy" pareto_min_loss_weight: 0.25 {BCE} }} }}',
        "add up to less than 1; given: binary_cross_entropy_a has 0.75, binary_cross_entropy_b has 0.25",
    ),
    "variational dropout": (
        f"{WIDE} {DEEP} {DEEPFM} {BCE} variational_dropout {{ regularization_lambda: -1 }}",
        "model_config.variational_dropout: regularization_lambda is -1; it must not be negative",
    ),
    "mlp": (
        f"{WIDE} {DEEP} {BCE} deepfm {{ deep {{ hidden_units: 4 dropout_ratio: [0.1, 0.2] }} }}",
        "model_config.deepfm: mlp: 2 dropout_ratio values for 1 hidden_units",
    ),
    "dlrm without dense_mlp": (
        f"{group('sparse', ['user', 'item'])} {group('dense', ['age'])} {BCE} dlrm {{ final {{}} }}",
        "model_config.dlrm: dense_mlp is missing; feature group 'dense' needs one ending with 4 units",
    ),
    "dlrm dense width": (
        f"{group('sparse', ['user', 'item'])} {group('dense', ['age'])} {BCE} "
        "dlrm { dense_mlp { hidden_units: [8, 5] } final {} }",
        "model_config.dlrm: dense_mlp must end with 4 units, the embedding_dim of group 'sparse'; given 5",
    ),
    "dlrm one feature": (
        f"{group('g', ['user'])} {BCE} dlrm {{ final {{}} arch_with_sparse: false }}",
        "feature group 'g' has one feature: no pair to interact",
    ),
    "dlrm groups": (
        f"{group('a', ['user'])} {group('b', ['item'])} {BCE} dlrm {{ final {{}} }}",
        "model_config.dlrm needs a feature group 'sparse' of type DEEP; known: a, b",
    ),
    "din group type": (
        f"{DEEP} {BCE} multi_tower_din "
        '{ towers { input: "deep" } din_towers { input: "deep" attn_mlp {} } final {} }',
        "feature group 'deep' is of group_type DEEP, but model_config.multi_tower_din needs SEQUENCE there",
    ),
    "din without query": (
        f"{DEEP} {group('seq', ['seen'], 'SEQUENCE')} {BCE} "
        'multi_tower_din { towers { input: "deep" } din_towers { input: "seq" attn_mlp {} } final {} }',
        "model_config.multi_tower_din: din_towers: feature group 'seq' has no query: list the plain features",
    ),
    "no towers": (f"{DEEP} mmoe {{ expert_mlp {{}} }}", "model_config.mmoe.task_towers is empty"),
    "towers of one name": (
        f"{DEEP} mmoe {{ expert_mlp {{}} " + f'task_towers {{ tower_name: "a" label_name: "click" {BCE} }}' * 2 + " }",
        "model_config.mmoe.task_towers: tower_name 'a' is used 2 times",
    ),
    "tower label": (
        f'{DEEP} mmoe {{ expert_mlp {{}} task_towers {{ tower_name: "a" label_name: "clik" {BCE} }} }}',
        "model_config.mmoe.task_towers[0] (a).label_name: 'clik' is not in data_config.label_fields; did you mean "
        '"click"?',
    ),
    "tower weight": (
        f'{DEEP} mmoe {{ expert_mlp {{}} task_towers {{ tower_name: "a" label_name: "buy" {BCE} '
        'sample_weight_name: "v" } }',
        "task_towers[0] (a).sample_weight_name: 'v' is not in data_config.sample_weight_fields",
    ),
    "tower indicator": (
        f'{DEEP} mmoe {{ expert_mlp {{}} task_towers {{ tower_name: "a" label_name: "buy" {BCE} '
        'task_space_indicator_label: "w" } }',
        "task_towers[0] (a).task_space_indicator_label: 'w' is not in data_config.label_fields",
    ),
    "no experts": (
        f'{DEEP} mmoe {{ expert_mlp {{}} num_expert: 0 task_towers {{ tower_name: "a" label_name: "buy" {BCE} }} }}',
        "model_config.mmoe: num_expert is 0; allowed: 1 or more",
    ),
}


BAD |= model_zoo.BAD


@pytest.mark.parametrize("name", BAD)
def test_says_what_does_not_fit(make_case, name):
    text, message = BAD[name]
    case = make_case(text)
    with pytest.raises(ConfigError) as caught:
        build_model(case.config, case.features)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once(make_case):
    case = make_case(f"{group('wide', ['user'])} {DEEPFM} num_class: 2 {BCE}")
    with pytest.raises(ConfigError) as caught:
        build_model(case.config, case.features)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    for part in ("'wide' is of group_type", "group 'deep'", "losses[0]"):
        assert any(part in line for line in lines)


def test_labels_are_needed(make_case):
    case = make_case(f"{WIDE} {DEEP} {DEEPFM} {BCE}")
    case.config.data_config.ClearField("label_fields")
    with pytest.raises(ConfigError, match=r"data_config\.label_fields is empty; name the label column"):
        build_model(case.config, case.features)


def test_a_group_without_use_is_left_out_with_a_warning(make_case, caplog):
    case = make_case(f"{WIDE} {DEEP} {SEQ} {DEEPFM} {BCE}")
    with caplog.at_level(logging.WARNING, "tzx"):
        model = build_model(case.config, case.features)
    assert "feature groups seq are not used by model_config.deepfm" in caplog.text
    assert not any("seq" in name for name, _ in model.named_parameters())


def test_a_label_outside_the_loss_is_bad_data(make_case):
    case = make_case(f"{WIDE} {DEEP} {DEEPFM} {BCE}")
    model = build_model(case.config, case.features)
    case.batch.labels["click"][0] = 5
    with pytest.raises(DataError, match="label column 'click' holds 5"):
        model.loss(model.predict(case.batch), case.batch)


def test_a_class_of_the_users_own_takes_a_name(make_case, monkeypatch):
    monkeypatch.setattr("tzx.runtime.models.registry._CLASSES", {})

    class Mine(WideAndDeep):
        """A user's own model."""

    register_model("DeepFM", Mine)
    assert available_models() == ["DeepFM"]
    case = make_case(f"{WIDE} {DEEP} {DEEPFM} {BCE}")
    model = build_model(case.config, case.features)
    assert isinstance(model, Mine) and isinstance(model, RankModel)
    assert model.predict(case.batch)["probs"].shape == (8,)
    with pytest.raises(ConfigError, match=r"is not a subclass of tzx\.runtime\.models\.Model"):
        register_model("DeepFM", dict)


def test_the_registry_lists_classes_that_exist():
    from tzx.runtime.models.registry import model_class

    for name in available_models():
        assert issubclass(model_class(name), Model)
        assert model_class(name).__name__ == name
