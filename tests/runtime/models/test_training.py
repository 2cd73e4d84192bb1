"""Gradients, losses, metrics and learning of every model."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, roc_auc_score

from tzx.runtime.training.batches import make_filler
from tzx.runtime.training.planning import LossModule


def test_gradient_reaches_every_parameter(make_case, model_texts, model_name):
    case = make_case(model_texts[model_name], size=64)
    torch.manual_seed(1)
    model = case.model()
    sum(model.loss(model.predict(case.batch), case.batch).values()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Its softmax takes no notice of what all scores have in common.
    assert [n for n in without if n != "din_towers.0.linear.bias"] == []


def test_overfits_a_few_rows(make_case, model_texts, model_name):
    case = make_case(model_texts[model_name], size=16)
    case.batch.sample_weights.clear()
    case.config.data_config.ClearField("sample_weight_fields")
    torch.manual_seed(0)
    model = case.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(200):
        found = model.loss(model.predict(case.batch), case.batch)
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()
        losses.append(sum(loss.item() for name, loss in found.items() if name not in model.made_losses))
    assert losses[-1] < 0.05 * losses[0] + 0.02, (losses[0], losses[-1])


def test_forward_is_predict_for_every_row(make_case, model_texts, model_name):
    case = make_case(model_texts[model_name], size=6, seed=3)
    model = case.model().eval()
    with torch.no_grad():
        predictions, again = model.predict(case.batch), model(case.batch)
    assert all(torch.equal(value, again[name]) for name, value in predictions.items())
    assert {value.shape[0] for value in predictions.values()} == {6}


def test_single_task_weights_first_label_and_first_weight(make_case, model_texts):
    case = make_case(model_texts["wide_and_deep"])
    model = case.model()
    predictions = model.predict(case.batch)
    w = case.batch.sample_weights["w"]
    cost = F.binary_cross_entropy(predictions["probs"], case.batch.labels["click"].float(), reduction="none")
    losses = model.loss(predictions, case.batch)
    assert list(losses) == model.loss_names == ["binary_cross_entropy"]
    assert losses["binary_cross_entropy"].item() == pytest.approx((cost * w / w.mean()).mean().item(), rel=1e-5)


def test_jrc_sees_the_sessions_of_the_batch(make_case, model_texts):
    text = model_texts["wide_and_deep"].replace("losses { binary_cross_entropy {} }", "")
    case = make_case(f'{text} num_class: 2 losses {{ jrc_loss {{ session_name: "user" }} }}', size=40)
    model = case.model()
    predictions = model.predict(case.batch)
    assert list(predictions) == ["logits", "probs", "probs1"]
    together = model.loss(predictions, case.batch)["jrc_loss"].item()
    case.batch.ids.values[:40] = torch.arange(40)  # user is the first feature: a session per row, none to rank with
    alone = model.loss(predictions, case.batch)["jrc_loss"].item()
    assert together > alone


def test_tower_weights(make_case, model_texts):
    text = model_texts["mmoe_plain"].replace(
        'tower_name: "ctr"',
        'tower_name: "ctr" weight: 3 sample_weight_name: "w2" task_space_indicator_label: "buy" '
        "in_task_space_weight: 2 out_task_space_weight: 0.5",
    )
    case = make_case(text)
    model = case.model()
    predictions = model.predict(case.batch)
    labels = case.batch.labels
    w = case.batch.sample_weights["w2"] * torch.where(labels["buy"] > 0, 2.0, 0.5)
    cost = F.binary_cross_entropy(predictions["probs_ctr"], labels["click"].float(), reduction="none")
    expected = {
        "binary_cross_entropy_ctr": 3 * (cost * w / w.mean()).mean(),
        "softmax_cross_entropy_stars": F.nll_loss(predictions["probs_stars"].log(), labels["stars"].long()),
        "l2_loss_value": (predictions["y_value"] - labels["stars"]).square().mean(),
    }
    losses = model.loss(predictions, case.batch)
    assert list(losses) == list(expected)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_metrics_over_batches(make_case, model_texts):
    first, second = (make_case(model_texts["deepfm"], size=size, seed=size) for size in (40, 25))
    model = first.model()
    with torch.no_grad():
        model.output.weight *= 100  # scores far enough apart for every pair to count
    probs, labels, losses = [], [], []
    for case in (first, second):
        predictions = model.predict(case.batch)
        found = model.loss(predictions, case.batch)
        model.update_metrics(predictions, case.batch, found)
        probs.append(predictions["probs"].detach().numpy())
        labels.append(case.batch.labels["click"].numpy())
        losses.append(found["binary_cross_entropy"].item() * case.batch.size)
    probs, labels = np.concatenate(probs), np.concatenate(labels)
    values = {name: float(value) for name, value in model.compute_metrics().items()}
    assert values == {
        "auc": pytest.approx(roc_auc_score(labels, probs), abs=1e-4),
        "accuracy": pytest.approx(accuracy_score(labels, probs > 0.5)),
        "binary_cross_entropy": pytest.approx(sum(losses) / 65, rel=1e-5),
    }
    model.reset_metrics()
    model.update_metrics(model.predict(second.batch), second.batch)
    values = {name: float(value) for name, value in model.compute_metrics().items()}
    assert set(values) == {"auc", "accuracy"}
    assert values["accuracy"] == accuracy_score(labels[40:], probs[40:] > 0.5)


def test_metric_names_carry_the_tower(make_case, model_texts):
    case = make_case(model_texts["mmoe"], size=30)
    model = case.model()
    predictions = model.predict(case.batch)
    model.update_metrics(predictions, case.batch, model.loss(predictions, case.batch))
    for _ in range(100):
        model.update_train_metrics(predictions, case.batch)
    metrics = {"auc_ctr", "accuracy_stars", "mean_squared_error_value"}
    assert set(model.compute_metrics()) == metrics | set(model.loss_names)
    y = predictions["y_value"].detach().numpy()
    error = np.abs(y - case.batch.labels["stars"].numpy()).mean()
    train = {name: float(value) for name, value in model.compute_train_metrics().items()}
    assert train == {"mean_absolute_error_value": pytest.approx(error, rel=1e-5)}


def test_grouped_auc_reads_the_feature(make_case, model_texts):
    text = model_texts["wide_and_deep"] + ' metrics { grouped_auc { grouping_key: "user" } }'
    case = make_case(text, size=60)
    model = case.model()
    predictions = model.predict(case.batch)
    model.update_metrics(predictions, case.batch)
    users, labels = case.arrays["user"].values, case.batch.labels["click"].numpy()
    probs = predictions["probs"].detach().numpy()
    aucs = [
        roc_auc_score(labels[users == u], probs[users == u]) for u in set(users) if 0 < labels[users == u].mean() < 1
    ]
    assert float(model.compute_metrics()["grouped_auc"]) == pytest.approx(np.mean(aucs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_widened(make_case, model_texts, dtype):
    case = make_case(model_texts["deepfm"])
    task = case.model().tasks[0]
    assert {p.dtype for p in task.predict(torch.randn(5, 1, dtype=dtype)).values()} == {torch.float32}


def test_parameter_names_are_stable(make_case, model_texts):
    """They are the keys of checkpoints: a change here orphans what users have trained."""
    names = list(make_case(model_texts["deepfm"]).model().state_dict())
    assert [n for n in names if not n.startswith("embedding_groups.")] == [
        "deep.layers.0.0.weight",
        "deep.layers.0.0.bias",
        "deep.layers.1.0.weight",
        "deep.layers.1.0.bias",
        "final.layers.0.0.weight",
        "final.layers.0.0.bias",
        "output.weight",
        "output.bias",
    ]
    table = "embedding_groups.collections.pooled.collection.embedding_bags.user_emb.weight"
    assert table in names
    mmoe = list(make_case(model_texts["mmoe"]).model().state_dict())
    for name in ("mmoe.experts.1.layers.0.0.weight", "mmoe.gates.2.1.weight", "task_towers.0.mlp.layers.0.0.bias"):
        assert name in mmoe


def test_tables_by_name(make_case, model_texts):
    tables = make_case(model_texts["deepfm"]).model().tables
    assert tables["item_emb"].dim == 4 and tables["item_emb_wide"].feature_names == ("item",)


def test_a_filler_has_no_gradient_and_leaves_statistics(make_case, model_texts, model_name):
    assert_filler_moves_nothing(make_case(model_texts[model_name]))


@pytest.mark.parametrize("weighting", ["use_uncertainty_loss_weight", "use_pareto_loss_weight", "use_pcgrad"])
def test_a_filler_has_no_part_in_weighing_losses(make_case, model_texts, weighting):
    assert_filler_moves_nothing(make_case(f"{model_texts['mmoe']} {weighting}: true"))


def assert_filler_moves_nothing(case):
    """The batch of a rank that has run out of data: no ids, so nothing that an optimizer of tables could touch."""
    kinds = {name: pa.field(name, pa.float32() if name == "stars" else pa.int64()) for name in case.batch.labels}
    loader = SimpleNamespace(layout=case.batch.layout, schema=pa.schema(kinds.values()))
    filler = make_filler(case.features, loader, case.config.data_config)
    assert filler.ids.values.numel() == filler.sequence_ids.values.numel() == 0
    model = case.model().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    losses, _ = LossModule(model)(filler)
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is not None and not (p.grad == 0).all()] == []
    assert [n for n, b in model.named_buffers() if not torch.equal(b, before[n])] == []
    assert all(m.training for m in model.modules())
