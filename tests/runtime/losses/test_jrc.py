"""jrc_loss against the rows-by-rows matrix of its definition."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.errors import ConfigError
from tzx.runtime.losses import make_loss
from tzx.runtime.protos.loss_pb2 import LossConfig


def jrc(alpha):
    config = text_format.Parse(f'jrc_loss {{ session_name: "session" alpha: {alpha} }}', LossConfig())
    return make_loss(config, 2)


def batch_of(sessions):
    empty = Jagged(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32))
    ids = Jagged(torch.tensor(sessions), torch.ones(len(sessions), dtype=torch.int32))
    return Batch(len(sessions), BatchLayout(ids=("session",)), torch.empty(len(sessions), 0), ids, empty, empty)


def log_softmax(x):
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


def expected(logits, labels, sessions, alpha):
    """Cost of each row: a softmax over the batch in which other sessions and rows of the own class are masked."""
    costs = []
    for i, label in enumerate(labels):
        allowed = (sessions == sessions[i]) & (labels != label)
        allowed[i] = True
        ranking = -log_softmax(np.where(allowed, logits[:, label], -1e9))[i]
        costs.append(alpha * -log_softmax(logits[i])[label] + (1 - alpha) * ranking)
    return np.array(costs)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("scale", [1, 100])
def test_equals_the_matrix(alpha, scale):
    rng = np.random.default_rng(5)
    logits, labels = rng.normal(size=(60, 2)) * scale, rng.integers(0, 2, 60)
    sessions = rng.integers(-3, 9, 60)
    made = jrc(alpha)
    predictions = made.predictions(torch.tensor(logits))
    got = made.rows(predictions, torch.tensor(labels), batch_of(sessions)).numpy()
    np.testing.assert_allclose(got, expected(logits, labels, sessions, alpha), rtol=1e-6, atol=1e-9)
    assert (made.name, made.outputs) == ("jrc_loss", ("logits", "probs", "probs1"))


def test_gradient_against_differences_and_without_opponents():
    made = jrc(0.4)
    torch.manual_seed(0)
    logits = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0])
    batch = batch_of([1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6])  # sessions of both classes, one class, one row

    def cost(z):
        return made.rows(made.predictions(z), labels, batch)

    assert torch.autograd.gradcheck(cost, logits)


def test_a_lone_row_has_cross_entropy_only():
    made = jrc(0.5)
    logits = torch.tensor([[1.0, 3.0]])
    cost = made.rows(made.predictions(logits), torch.tensor([1]), batch_of([7]))
    assert cost.item() == pytest.approx(0.5 * np.log1p(np.exp(-2)))


def test_sessions_may_be_a_label_column():
    made = jrc(0.5)
    rng = np.random.default_rng(0)
    logits, labels, sessions = rng.normal(size=(20, 2)), rng.integers(0, 2, 20), rng.integers(0, 3, 20)
    batch = batch_of(sessions)
    batch.layout, batch.labels = BatchLayout(), {"session": torch.tensor(sessions)}
    got = made.rows(made.predictions(torch.tensor(logits)), torch.tensor(labels), batch).numpy()
    np.testing.assert_allclose(got, expected(logits, labels, sessions, 0.5), rtol=1e-6)


def test_what_does_not_fit():
    with pytest.raises(ConfigError, match=r"loss jrc_loss has alpha 1\.5; allowed: 0 to 1"):
        jrc(1.5)
    with pytest.raises(ConfigError, match="loss jrc_loss needs num_class 2, given 1"):
        make_loss(text_format.Parse('jrc_loss { session_name: "s" }', LossConfig()), 1)
    with pytest.raises(TypeError, match="needs the batch"):
        jrc(0.5).rows({"logits": torch.zeros(1, 2)}, torch.tensor([0]))
