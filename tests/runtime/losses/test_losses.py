import numpy as np
import pytest
import torch
from google.protobuf import text_format
from sklearn.metrics import log_loss

from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.losses import RowWeights, check_labels, loss_name, make_loss, weighted_mean
from tzx.runtime.protos.loss_pb2 import LossConfig


def loss(text, num_class=1):
    return make_loss(text_format.Parse(text, LossConfig()), num_class)


@pytest.fixture
def binary():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=50) * 3
    return logits, 1 / (1 + np.exp(-logits)), (rng.random(50) < 0.4).astype(np.int64)


def rows_of(made, logits, labels):
    predictions = made.predictions(torch.tensor(logits, dtype=torch.float64).reshape(len(labels), -1))
    return made.rows(predictions, torch.tensor(labels)).numpy()


def test_binary_cross_entropy_is_log_loss(binary):
    logits, probs, labels = binary
    assert rows_of(loss("binary_cross_entropy {}"), logits, labels).mean() == pytest.approx(log_loss(labels, probs))


def test_binary_cross_entropy_smoothing_moves_the_target_to_the_middle(binary):
    logits, p, y = binary
    target = y * 0.9 + 0.05
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p))
    got = rows_of(loss("binary_cross_entropy { label_smoothing: 0.1 }"), logits, y)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_focal_loss_and_its_detached_weight(binary):
    logits, p, y = binary
    expected = np.where(y == 1, -0.3 * (1 - p) ** 1.5 * np.log(p), -0.7 * p**1.5 * np.log(1 - p))
    made = loss("binary_focal_loss { gamma: 1.5 alpha: 0.3 }")
    np.testing.assert_allclose(rows_of(made, logits, y), expected, rtol=1e-6)
    z = torch.tensor(logits).reshape(-1, 1).requires_grad_()
    made.rows(made.predictions(z), torch.tensor(y)).sum().backward()
    weight = np.where(y == 1, 0.3 * (1 - p) ** 1.5, 0.7 * p**1.5)
    np.testing.assert_allclose(z.grad.numpy()[:, 0], weight * (p - y), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_softmax_cross_entropy(smoothing):
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    got = rows_of(loss(f"softmax_cross_entropy {{ label_smoothing: {smoothing} }}", 4), logits, labels)
    np.testing.assert_allclose(got, -(target * log_p).sum(1), rtol=1e-6)


def test_l2_is_squared_error_also_of_integer_labels():
    np.testing.assert_allclose(rows_of(loss("l2_loss {}"), [1.0, -2.0], [3, 1]), [4.0, 9.0])


@pytest.mark.parametrize(
    ("text", "num_class", "shapes"),
    [
        ("binary_cross_entropy {}", 1, {"logits": (5,), "probs": (5,)}),
        ("binary_focal_loss {}", 1, {"logits": (5,), "probs": (5,)}),
        ("softmax_cross_entropy {}", 2, {"logits": (5, 2), "probs": (5, 2), "probs1": (5,)}),
        ("softmax_cross_entropy {}", 3, {"logits": (5, 3), "probs": (5, 3)}),
        ("l2_loss {}", 1, {"y": (5,)}),
    ],
)
def test_prediction_keys(text, num_class, shapes):
    made = loss(text, num_class)
    found = made.predictions(torch.randn(5, num_class))
    assert {k: tuple(v.shape) for k, v in found.items()} == shapes
    assert made.outputs == tuple(shapes)
    assert made.name == text.split()[0]


@pytest.mark.parametrize(
    ("text", "num_class", "message"),
    [
        ("binary_cross_entropy {}", 2, "loss binary_cross_entropy needs num_class 1, given 2"),
        ("softmax_cross_entropy {}", 1, "needs num_class of 2 or more, given 1"),
        ("recon_loss {}", 1, "loss recon_loss is not available; available: binary_cross_entropy"),
        ("", 1, "a losses entry is empty; set one of binary_cross_entropy"),
    ],
)
def test_losses_that_do_not_fit(text, num_class, message):
    with pytest.raises(ConfigError, match=message):
        loss(text, num_class)


def test_loss_name_of_nothing():
    assert loss_name(LossConfig()) == ""


def test_labels_outside_the_bounds_are_named():
    with pytest.raises(DataError, match="column 'rating' holds 5, but binary_cross_entropy takes labels from 0 to 1"):
        check_labels(loss("binary_cross_entropy {}"), torch.tensor([0, 5, 1]), "rating")
    with pytest.raises(DataError, match="holds -1, but softmax_cross_entropy takes labels from 0 to 2"):
        check_labels(loss("softmax_cross_entropy {}", 3), torch.tensor([0, -1]), "grade")
    check_labels(loss("softmax_cross_entropy {}", 3), torch.tensor([0, 2]), "grade")
    check_labels(loss("l2_loss {}"), torch.tensor([-1e9]), "y")
    check_labels(loss("binary_cross_entropy {}"), torch.tensor([]), "y")


COST = torch.tensor([1.0, 2.0, 3.0, 4.0])
WEIGHT = torch.tensor([1.0, 0.0, 2.0, 1.0])
INDICATOR = torch.tensor([1, 0, 0, 1])


def reduce(rule):
    return weighted_mean(COST, rule.of({"w": WEIGHT}, {"ind": INDICATOR}, COST)).item()


def test_no_weight_is_the_plain_mean():
    assert reduce(RowWeights()) == 2.5


def test_weights_are_divided_by_their_mean():
    assert reduce(RowWeights(column="w")) == pytest.approx((1 + 6 + 4) / 4)
    zero = RowWeights(column="w").of({"w": torch.zeros(4)}, {}, COST)
    assert torch.equal(zero, torch.zeros(4))


def test_task_space_and_tower_weight():
    weight = WEIGHT.numpy() * np.array([0.5, 2.0, 2.0, 0.5])
    expected = (COST.numpy() * weight / weight.mean()).mean() * 3
    assert reduce(RowWeights("w", "ind", inside=0.5, outside=2.0, scale=3.0)) == pytest.approx(expected)


def test_tower_weight_alone_scales_the_mean():
    assert reduce(RowWeights(scale=0.5)) == pytest.approx(1.25)
