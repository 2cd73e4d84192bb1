"""Uncertainty weights and gradient surgery against their papers' formulas, alone and on two processes."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from model_zoo.configs import DEEP

from tzx.runtime.models.pcgrad import surgery_weights

WORKER = Path(__file__).with_name("weighting_worker.py")
UNCERTAIN, SURGERY = "use_uncertainty_loss_weight: true", "use_pcgrad: true"


def operated(gradients, order):
    """Algorithm 1 of Yu et al. on the vectors themselves."""
    total = np.zeros_like(gradients[0])
    for i, own in enumerate(gradients):
        left = own.copy()
        for j in order[i]:
            other = gradients[j]
            if i != j and left @ other < 0:
                left -= (left @ other) / (other @ other) * other
        total += left
    return total


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_surgery_is_that_of_the_paper(count):
    rng = np.random.default_rng(count)
    for _ in range(30):
        gradients = rng.normal(size=(count, 12))
        order = np.stack([rng.permutation(count) for _ in range(count)])
        weights = surgery_weights(torch.tensor(gradients @ gradients.T), torch.tensor(order)).numpy()
        np.testing.assert_allclose(weights @ gradients, operated(gradients, order), atol=1e-10)


def test_gradients_that_agree_or_vanish_stay():
    order = torch.tensor([[0, 1], [1, 0]])
    for gradients in ([[1.0, 0], [1, 2]], [[1.0, 0], [0, 0]]):
        rows = torch.tensor(gradients).double()
        torch.testing.assert_close(surgery_weights(rows @ rows.T, order), torch.ones(2).double())


def test_surgery_reaches_every_parameter_of_a_model(make_case, model_texts):
    """Two losses, so that the order says nothing; gradients by hand over dense parameters and embedded values."""
    task = 'task_towers { tower_name: "%s" label_name: "%s" losses { binary_cross_entropy {} } }'
    towers = " ".join(task % pair for pair in (("a", "click"), ("b", "buy")))
    text = f"{DEEP} simple_multi_task {{ {towers} }}"
    case, plain = make_case(f"{text} {SURGERY}", size=6, seed=3), make_case(text, size=6, seed=3).model(seed=2)
    case.batch.labels["buy"] = 1 - case.batch.labels["click"]
    model = case.model(seed=2)
    for one in (model, plain):  # equal towers that want the opposite
        one.task_towers[1].load_state_dict(one.task_towers[0].state_dict())
    kept = {}
    plain.embedding_groups.register_forward_hook(lambda module, given, out: kept.update(out))
    losses = plain.loss(plain.predict(case.batch), case.batch)
    dense = [(n, p) for n, p in plain.named_parameters() if ".collection." not in n]
    over = [*(p for _, p in dense), *(t for t in kept.values() if t.requires_grad)]
    found = [torch.autograd.grad(loss, over, retain_graph=True, allow_unused=True) for loss in losses.values()]
    rows = [[torch.zeros_like(p) if g is None else g for g, p in zip(row, over, strict=True)] for row in found]
    flat = np.stack([torch.cat([g.flatten() for g in row]).double().numpy() for row in rows])
    assert flat[0] @ flat[1] < 0
    expected = operated(flat, [[0, 1], [0, 1]])
    weighed = model.loss(model.predict(case.batch), case.batch)
    assert {n: v.item() for n, v in weighed.items()} == {n: v.item() for n, v in losses.items()}
    sum(weighed.values()).backward()
    names = dict(model.named_parameters())
    got = torch.cat([names[n].grad.flatten() for n, _ in dense]).numpy()
    np.testing.assert_allclose(got, expected[: len(got)], atol=1e-6)
    # Tables follow, as their gradients are linear in those of the embedded values.
    weights = np.linalg.lstsq(flat.T, expected, rcond=None)[0]
    for name, p in plain.named_parameters():
        if ".collection." in name:
            parts = [torch.autograd.grad(loss, p, retain_graph=True)[0] for loss in losses.values()]
            torch.testing.assert_close(
                names[name].grad, sum(w * g for w, g in zip(weights, parts, strict=True)).float()
            )


def test_penalties_are_no_task(make_case, model_texts):
    for way in (SURGERY, UNCERTAIN):
        model = (case := make_case(f"{model_texts['rocket_launching']} {way}", size=20)).model()
        losses = model.loss(model.predict(case.batch), case.batch)
        assert list(losses) == model.loss_names and "hint_l2_loss" in losses
        plain = make_case(model_texts["rocket_launching"], size=20).model()
        hint = plain.plain_losses(plain.predict(case.batch), case.batch)["hint_l2_loss"]
        one = torch.autograd.grad(hint, plain.light_output.weight)[0]
        torch.testing.assert_close(torch.autograd.grad(losses["hint_l2_loss"], model.light_output.weight)[0], one)


def test_uncertainty_weights_are_those_of_the_paper(make_case, model_texts):
    case = make_case(f"{model_texts['mmoe']} {UNCERTAIN}", size=30)
    model, plain = case.model(seed=1), make_case(model_texts["mmoe"], size=30).model(seed=1)
    log_variance = torch.tensor([0.7, -0.4, 0.2])
    model.loss_weighting.log_variance.data.copy_(log_variance)
    losses = plain.loss(plain.predict(case.batch), case.batch)
    assert list(losses)[2].startswith("l2_loss")
    weighed = model.loss(model.predict(case.batch), case.batch)
    assert {n: v.item() for n, v in weighed.items()} == pytest.approx(
        {n: v.item() for n, v in losses.items()}, abs=1e-6
    )
    sum(weighed.values()).backward()
    sigma2 = np.exp(log_variance.double().numpy())
    value = np.array([v.item() for v in losses.values()])
    factor = np.array([1, 1, 0.5]) / sigma2  # a squared error counts L / 2 sigma^2
    np.testing.assert_allclose(model.loss_weighting.log_variance.grad, -factor * value + 0.5, rtol=1e-5)
    sum(w * v for w, v in zip(factor.tolist(), losses.values(), strict=True)).backward()
    for (name, p), (other, q) in zip(
        ((n, p) for n, p in model.named_parameters() if "loss_weighting" not in n),
        plain.named_parameters(),
        strict=True,
    ):
        assert name == other
        torch.testing.assert_close(p.grad, q.grad, atol=1e-6, rtol=1e-4, msg=name)
    assert model.loss_weighting.variances() == pytest.approx(dict(zip(losses, sigma2, strict=True)), rel=1e-6)


def test_variances_settle_at_the_losses_themselves(make_case, model_texts):
    """The minimum of L / v + log(v) / 2 is at v = 2 L, that of L / 2v + log(v) / 2 at v = L."""
    case = make_case(f"{model_texts['mmoe']} {UNCERTAIN}", size=30)
    model = case.model(seed=1)
    optimizer = torch.optim.Adam([model.loss_weighting.log_variance], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        losses = model.loss(model.predict(case.batch), case.batch)
        sum(losses.values()).backward()
        optimizer.step()
    expected = [v.item() * f for v, f in zip(losses.values(), (2, 2, 1), strict=True)]
    assert list(model.loss_weighting.variances().values()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("way", [UNCERTAIN, SURGERY])
def test_evaluation_sees_plain_losses(make_case, model_texts, way):
    case = make_case(f"{model_texts['mmoe']} {way}")
    model = case.model().eval()
    with torch.no_grad():
        losses = model.loss(model.predict(case.batch), case.batch)
        plain = model.plain_losses(model.predict(case.batch), case.batch)
    assert {n: v.item() for n, v in losses.items()} == {n: v.item() for n, v in plain.items()}


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """Half of the rows each: the same products of gradients and the same step."""
    running = [warm.Popen([WORKER, rank, 2, tmp_path / "store"]) for rank in range(2)]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [p.returncode for p in running] == [0, 0], [err for _, err in outputs]
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
    alone = runpy.run_path(str(WORKER))["run"](0, 1)
    assert first == second and set(first) == set(alone)
    for name, value in alone.items():
        np.testing.assert_allclose(first[name], value, atol=1e-7, rtol=1e-4, err_msg=name)
