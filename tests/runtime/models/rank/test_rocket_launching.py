"""What RocketLaunching does in training, where both networks run."""

import logging

import numpy as np
import pytest
import torch
from model_zoo.oracle import Oracle, binary

NAMES = [
    "binary_cross_entropy_light",
    "binary_cross_entropy_booster",
    "hint_l2_loss",
    "similarity_0_2",
    "similarity_1_1",
]


def hidden(o, name, x):
    """Outputs of the layers of an MLP."""
    outputs = []
    while f"{name}.layers.{len(outputs)}.0.weight" in o.p:
        x = np.maximum(o.linear(f"{name}.layers.{len(outputs)}.0", x), 0)
        outputs.append(x)
    return outputs


def cosine(x, y):
    return (x * y).sum(1) / np.maximum(np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1), 1e-8)


@pytest.mark.parametrize("function", ["COSINE", "EUCLID"])
def test_losses_between_the_networks(make_case, model_texts, function):
    text = model_texts["rocket_launching"].replace(
        "distillation: true", f"distillation: true feature_distillation_function: {function}"
    )
    case = make_case(text, size=20)
    model = case.model(seed=2)
    predictions = model.predict(case.batch)
    losses = model.loss(predictions, case.batch)
    o = Oracle(model, case.arrays)
    shared = o.mlp("share_mlp", o.plain("user", "age", "tags", "item", "price"))
    light, booster = hidden(o, "light_mlp", shared), hidden(o, "booster_mlp", shared)
    light_logits, booster_logits = o.linear("light_output", light[-1]), o.linear("booster_output", booster[-1])
    expected = {"hint_l2_loss": ((light_logits - booster_logits) ** 2).mean()}
    for name, x, y in (("similarity_0_2", light[0], booster[2]), ("similarity_1_1", light[1], booster[1])):
        expected[name] = -0.1 * cosine(x, y).mean() if function == "COSINE" else np.sqrt(((x - y) ** 2).sum())
    assert list(losses) == model.loss_names == NAMES
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-4), name
    for name, value in (binary(light_logits, "_light") | binary(booster_logits, "_booster")).items():
        np.testing.assert_allclose(predictions[name].detach().numpy(), value, atol=1e-5, err_msg=name)


def test_the_light_network_teaches_nothing(make_case, model_texts):
    case = make_case(model_texts["rocket_launching"], size=20)
    model = case.model()
    losses = model.loss(model.predict(case.batch), case.batch)
    sum(losses[name] for name in NAMES if name != "binary_cross_entropy_booster").backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"light_mlp", "light_output"}


def test_equal_layers_have_no_distance_and_a_finite_gradient(make_case, model_texts):
    text = model_texts["rocket_launching"].replace("true", "true feature_distillation_function: EUCLID")
    model = make_case(text).model()
    x = torch.zeros(3, 4, requires_grad=True)
    model._distance(x, x.detach()).backward()
    assert x.grad.isfinite().all()


def test_evaluation_knows_the_light_network_only(make_case, model_texts):
    case = make_case(model_texts["rocket_launching"], size=30)
    model = case.model()
    model.update_train_metrics(model.predict(case.batch), case.batch)
    assert set(model.compute_train_metrics()) == {"auc_light", "auc_booster"}
    model.eval()
    predictions = model.predict(case.batch)
    losses = model.loss(predictions, case.batch)
    assert (list(predictions), list(losses)) == (["logits_light", "probs_light"], NAMES[:1])
    model.update_metrics(predictions, case.batch, losses)
    assert set(model.compute_metrics()) == {"auc_light", "accuracy_light", NAMES[0]}


def test_layers_of_other_widths_are_warned_about(make_case, model_texts, caplog):
    text = model_texts["rocket_launching"].replace("booster_mlp { hidden_units: [20, 12, 16] }", "booster_mlp {}")
    with caplog.at_level(logging.WARNING, "tzx"):
        assert make_case(text).model().pairs == []
    assert "no layer of light_mlp (16, 12) is as wide as one of booster_mlp ()" in caplog.text
