"""Domains of PEPNet, and what its gates may not teach."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from tzx.runtime.errors import DataError


def chosen(predictions, name, domains):
    """Each row's prediction of its own domain."""
    return np.array([predictions[f"{name}_{d}"][i].detach().numpy() for i, d in enumerate(domains)])


@pytest.mark.parametrize(("domain", "number"), [("stars", 3), ("city", 5)])
def test_losses_and_metrics_read_the_rows_own_domain(make_case, model_texts, domain, number):
    text = model_texts["pepnet"].replace('"stars" task_domain_num: 3', f'"{domain}" task_domain_num: {number}')
    case = make_case(text, size=40)
    model = case.model()
    domains = {"stars": case.batch.labels["stars"].long().numpy(), "city": case.arrays["city"].values}[domain]
    predictions = model.predict(case.batch)
    losses = model.loss(predictions, case.batch)
    model.update_metrics(predictions, case.batch, losses)
    metrics = model.compute_metrics()
    labels = {name: label.numpy() for name, label in case.batch.labels.items()}
    probs, stars = chosen(predictions, "probs_ctr", domains), chosen(predictions, "probs_stars", domains)
    y = chosen(predictions, "y_value", domains)
    assert len(predictions) == number * 5
    assert list(losses) == ["binary_cross_entropy_ctr", "softmax_cross_entropy_stars", "l2_loss_value"]
    expected = [
        log_loss(labels["click"], probs.astype(float)),
        log_loss(labels["stars"], stars.astype(float), labels=[0, 1, 2]),
        ((y - labels["stars"]) ** 2).mean(),
    ]
    np.testing.assert_allclose([loss.item() for loss in losses.values()], expected, rtol=1e-5)
    assert metrics["auc_ctr"].item() == pytest.approx(roc_auc_score(labels["click"], probs), abs=0.01)
    assert metrics["mean_squared_error_value"].item() == pytest.approx(expected[2], rel=1e-5)


def test_a_domain_out_of_range_is_bad_data(make_case, model_texts):
    case = make_case(model_texts["pepnet"])
    model = case.model()
    case.batch.labels["stars"][3] = 7
    with pytest.raises(DataError, match="'stars' holds domain 7, but task_domain_num is 3: 0 to 2 are allowed"):
        model.loss(model.predict(case.batch), case.batch)


def test_a_row_without_an_id_belongs_to_the_first_domain(make_case, model_texts):
    text = model_texts["pepnet"].replace('"stars" task_domain_num: 3', '"city" task_domain_num: 5')
    case = make_case(text, size=1)
    at = case.batch.layout.ids.index("city")
    lengths = case.batch.ids.lengths
    start = int(lengths[:at].sum())
    case.batch.ids.values = torch.cat([case.batch.ids.values[:start], case.batch.ids.values[start + 1 :]])
    lengths[at] = 0
    model = case.model()
    predictions = model.predict(case.batch)
    loss = model.loss(predictions, case.batch)["binary_cross_entropy_ctr"].item()
    expected = log_loss(case.batch.labels["click"].numpy(), predictions["probs_ctr_0"].detach().double(), labels=[0, 1])
    assert loss == pytest.approx(expected, rel=1e-5)


def test_predictions_need_no_domain(make_case, model_texts):
    case = make_case(model_texts["pepnet"])
    case.batch.labels.clear()
    assert "probs_ctr_2" in case.model().predict(case.batch)


def test_gates_do_not_teach_the_features_they_read(make_case, model_texts):
    """Without the way through the layers, which is cut by zero weights, the embeddings of `all` get no gradient."""
    case = make_case(model_texts["pepnet_ppnet"], size=20)
    model = case.model()
    with torch.no_grad():
        for layers in model.ppnet:
            layers[0].linear.weight.zero_()
            layers[0].linear.bias.fill_(1)
    sum(model.loss(model.predict(case.batch), case.batch).values()).backward()
    moved = {name.split(".")[-2] for name, p in model.named_parameters() if "collections" in name and p.grad.any()}
    assert moved == {"user_emb", "item_emb"}  # by the group uia
