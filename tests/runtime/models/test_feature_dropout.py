"""Models with variational dropout: scaled features in evaluation, rates that tell features apart."""

import pytest
import torch

from tzx.runtime.embedding.plain import swap_for_serving
from tzx.runtime.serving.tensors import flatten
from tzx.runtime.serving.tracing import trace

DROPOUT = "variational_dropout { regularization_lambda: 0.3 }"


@pytest.mark.parametrize("name", ["deepfm", "multi_tower_din", "mmoe_plain", "pepnet", "rocket_launching"])
def test_evaluation_scales_the_features_of_every_group(make_case, model_texts, name):
    case = make_case(f"{model_texts[name]} {DROPOUT}", size=6)
    model = case.model().eval()
    groups = model.embedding_groups(case.batch)
    embedded = model.embed(case.batch)
    for key, tensor in groups.items():
        rates = model.feature_dropout.rates().get(key)
        if rates:
            dims = model.embedding_groups.feature_dims(key)
            tensor = tensor * torch.tensor([1 - rates[feature] for feature, dim in dims.items() for _ in range(dim)])
        torch.testing.assert_close(embedded[key], tensor, msg=key)
    predictions = model.predict(case.batch)
    assert list(predictions) == model.output_names
    swap_for_serving(model)
    got = trace(model, case.batch, model.output_names).module()(*flatten(case.batch))
    for output, value in zip(model.output_names, got, strict=True):
        torch.testing.assert_close(value, predictions[output], atol=1e-5, rtol=1e-5)


def test_groups_of_one_feature_and_sequences_are_left_alone(make_case, model_texts):
    model = make_case(f"{model_texts['pepnet']} {DROPOUT}").model()
    assert {group: list(rates) for group, rates in model.feature_dropout.rates().items()} == {
        "all": ["user", "age", "tags", "item", "price"],
        "uia": ["user", "item"],
    }
    din = make_case(f"{model_texts['multi_tower_din']} {DROPOUT}").model()
    assert set(din.feature_dropout.rates()) == {"user", "item"}


def test_penalties_are_losses_of_training(make_case, model_texts):
    case = make_case(f"{model_texts['deepfm']} {DROPOUT}", size=20)
    model = case.model()
    losses = model.loss(model.predict(case.batch), case.batch)
    assert list(losses) == model.loss_names
    assert model.loss_names == ["binary_cross_entropy", "wide_feature_p_loss", "deep_feature_p_loss"]
    kept = sum(1 - rate for rate in model.feature_dropout.rates()["deep"].values())
    assert losses["deep_feature_p_loss"].item() == pytest.approx(0.3 / 20 * kept, rel=1e-5)
    sum(losses.values()).backward()
    assert all(p.grad.any() for p in model.feature_dropout.parameters())
    model.eval()
    assert list(model.loss(model.predict(case.batch), case.batch)) == ["binary_cross_entropy"]


def test_a_feature_that_tells_the_label_is_dropped_least(make_case, model_texts):
    case = make_case(
        f"{model_texts['dcn_v2_cross_only'].split('num_class')[0]} {DROPOUT} losses {{ l2_loss {{}} }}", size=512
    )
    case.batch.labels["click"] = case.batch.dense_of("age")[:, 0] * 2
    case.batch.sample_weights["w"] = torch.ones(512)
    model = case.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        loss = sum(model.loss(model.predict(case.batch), case.batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rates = model.feature_dropout.rates()["all"]
    assert rates.pop("age") < 0.1 < min(rates.values())
