import numpy as np
import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.variational_dropout import VariationalDropout
from tzx.runtime.protos import module_pb2

DIMS = {"user": 3, "item": 1, "tags": 2}
RATES = np.array([0.9, 0.5, 0.02])


def dropout(**fields: object) -> VariationalDropout:
    made = VariationalDropout(DIMS, module_pb2.VariationalDropout(**fields))  # type: ignore[arg-type]
    with torch.no_grad():
        rates = torch.tensor(RATES) if len(made.logit) == 3 else torch.linspace(0.1, 0.6, 6)
        made.logit.copy_(torch.logit(rates))
    return made


def test_evaluation_scales_by_the_share_that_is_kept() -> None:
    x = torch.randn(4, 6)
    expected = x.numpy() * (1 - np.repeat(RATES, [3, 1, 2]))
    np.testing.assert_allclose(dropout().eval()(x).detach().numpy(), expected, rtol=1e-5)
    by_dim = dropout(embedding_wise_variational_dropout=True).eval()
    np.testing.assert_allclose(by_dim(x).detach().numpy(), x.numpy() * np.linspace(0.9, 0.4, 6), rtol=1e-5)


def test_training_drops_features_whole_and_at_their_rates() -> None:
    torch.manual_seed(0)
    kept = dropout()(torch.ones(20_000, 6)).detach()
    assert torch.equal(kept[:, 0], kept[:, 2]) and torch.equal(kept[:, 4], kept[:, 5])
    assert not torch.equal(kept[:, 0], kept[:, 3])
    shares = (kept[:, [0, 3, 4]] < 0.5).float().mean(0).numpy()
    np.testing.assert_allclose(shares, RATES, atol=0.01)
    assert ((kept < 0.05) | (kept > 0.95)).float().mean() > 0.8  # mostly all or nothing


def test_concrete_formula() -> None:
    torch.manual_seed(3)
    kept = dropout()(torch.ones(5, 6)).detach().numpy()
    torch.manual_seed(3)
    u = torch.rand(5, 3).numpy().astype(float)
    z = 1 / (1 + np.exp(-(np.log(RATES / (1 - RATES)) + np.log(u / (1 - u))) / 0.1))
    np.testing.assert_allclose(kept, np.repeat(1 - z, [3, 1, 2], axis=1), rtol=1e-3, atol=1e-5)


def test_penalty_pulls_rates_up_and_gradient_reaches_them() -> None:
    made = dropout(regularization_lambda=0.4)
    penalty = made.penalty(8)
    assert penalty.item() == pytest.approx(0.4 / 8 * (1 - RATES).sum(), rel=1e-5)
    penalty.backward()
    assert made.logit.grad is not None and (made.logit.grad < 0).all()
    fresh = VariationalDropout(DIMS, module_pb2.VariationalDropout())
    fresh(torch.randn(50, 6)).square().sum().backward()
    assert fresh.logit.grad is not None and fresh.logit.grad.isfinite().all() and fresh.logit.grad.any()


def test_rates_by_feature() -> None:
    assert dropout().rates() == {n: pytest.approx(r, rel=1e-5) for n, r in zip(DIMS, RATES, strict=True)}
    by_dim = dropout(embedding_wise_variational_dropout=True).rates()
    assert by_dim == {"user": pytest.approx(0.2), "item": pytest.approx(0.4), "tags": pytest.approx(0.55)}
    assert set(VariationalDropout(DIMS, module_pb2.VariationalDropout()).rates().values()) == {0.5}


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match="regularization_lambda is -1; it must not be negative"):
        dropout(regularization_lambda=-1)
