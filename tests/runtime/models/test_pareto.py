"""Pareto weights against a solver, and what they do to a model's gradients."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, nnls

from tzx.runtime.models.pareto import pareto_weights

PARETO = "use_pareto_loss_weight: true"


def solved(gram, floors):
    """The paper's steps with general solvers: normal equations, then the nearest feasible point from an nnls start."""
    count = len(floors)
    system = np.block([[gram, np.ones((count, 1))], [np.ones((1, count)), np.zeros((1, 1))]])
    right = np.append(-gram @ floors, 1 - floors.sum())
    free = np.linalg.solve(system.T @ system, system.T @ right)[:count]
    rows = np.vstack([np.eye(count), 1e3 * np.ones((1, count))])
    start = nnls(rows, np.append(free, 1e3 * (1 - floors.sum())))[0]
    constraint = {"type": "eq", "fun": lambda x: x.sum() - (1 - floors.sum())}
    found = minimize(
        lambda x: ((x - free) ** 2).sum(), start, bounds=[(0, None)] * count, constraints=constraint,
        method="SLSQP", options={"ftol": 1e-14},
    )  # fmt: skip
    return found.x + floors


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("floor", [0.0, 0.15])
def test_weights_equal_a_general_solvers(count, floor):
    rng = np.random.default_rng(count)
    for _ in range(20):
        gradients = rng.normal(size=(count, 40)) * rng.uniform(0.5, 2, size=(count, 1)) + rng.normal(size=40)
        floors = np.full(count, floor) * rng.random(count)
        gram = gradients @ gradients.T
        got = pareto_weights(torch.tensor(gram), torch.tensor(floors)).numpy()
        np.testing.assert_allclose(got, solved(gram, floors), atol=1e-5)
        assert got.sum() == pytest.approx(1) and (got >= floors - 1e-12).all()


def test_scale_and_size_do_not_matter():
    gradients = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram, floors = gradients @ gradients.T, torch.tensor([0.1, 0, 0.2], dtype=torch.float64)
    for factor in (1e-12, 1e9):
        torch.testing.assert_close(pareto_weights(factor * gram, floors), pareto_weights(gram, floors))


def test_of_two_losses_the_sum_of_gradients_is_shortest():
    a, b = torch.tensor([3.0, 0, 0]).double(), torch.tensor([0, 1.0, 0]).double()
    gram = torch.stack([a, b]) @ torch.stack([a, b]).T
    torch.testing.assert_close(pareto_weights(gram, torch.zeros(2).double()), torch.tensor([0.1, 0.9]).double())


def test_equal_or_vanished_gradients_are_weighed_equally():
    for gram in (torch.ones(4, 4).double(), torch.zeros(4, 4).double()):
        torch.testing.assert_close(pareto_weights(gram, torch.zeros(4).double()), torch.full((4,), 0.25).double())


def test_gradients_are_weighted_and_values_are_not(make_case, model_texts):
    text = model_texts["mmoe"].replace('tower_name: "ctr"', 'tower_name: "ctr" pareto_min_loss_weight: 0.4')
    case = make_case(f"{text} {PARETO}", size=30)
    plain = make_case(text, size=30).model(seed=1)
    model = case.model(seed=1)
    separate = plain.loss(plain.predict(case.batch), case.batch)
    weighted = model.loss(model.predict(case.batch), case.batch)
    assert {n: v.item() for n, v in weighted.items()} == {n: v.item() for n, v in separate.items()}

    names = [n for n, _ in plain.named_parameters()]
    parameters = list(plain.parameters())
    by_loss = [torch.autograd.grad(v, parameters, retain_graph=True, allow_unused=True) for v in separate.values()]
    sum(weighted.values()).backward()
    # The weights can be read off the towers, which see one loss each.
    weights = []
    for i in range(3):
        at = names.index(f"task_towers.{i}.output.bias")
        weights.append((model.task_towers[i].output.bias.grad / by_loss[i][at]).mean().item())
    assert sum(weights) == pytest.approx(1, rel=1e-5) and weights[0] >= 0.4 - 1e-6 and min(weights) >= -1e-6
    assert max(weights) - min(weights) > 1e-3
    for k, (name, parameter) in enumerate(model.named_parameters()):
        expected = sum(w * g[k] for w, g in zip(weights, by_loss, strict=True) if g[k] is not None)
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4, msg=name)


def test_evaluation_and_single_losses_stay_as_they_are(make_case, model_texts):
    case = make_case(f"{model_texts['mmoe']} {PARETO}")
    model = case.model().eval()
    with torch.no_grad():
        losses = model.loss(model.predict(case.batch), case.batch)
    assert set(losses) == set(model.loss_names)
    single = make_case(f"{model_texts['wide_and_deep']} {PARETO}")
    model, plain = single.model(seed=3), make_case(model_texts["wide_and_deep"]).model(seed=3)
    for m in (model, plain):
        sum(m.loss(m.predict(single.batch), single.batch).values()).backward()
    for (name, p), (_, q) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


def test_losses_between_networks_are_weighed_too(make_case, model_texts):
    case = make_case(f"{model_texts['rocket_launching']} {PARETO}", size=20)
    model = case.model()
    losses = model.loss(model.predict(case.batch), case.batch)
    assert list(losses) == model.loss_names
    sum(losses.values()).backward()
    assert model.light_output.weight.grad.isfinite().all()
