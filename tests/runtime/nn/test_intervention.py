import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.intervention import Intervention, Orthonormal


@pytest.mark.parametrize(("rows", "columns"), [(6, 2), (4, 4), (2, 5)])
def test_columns_or_rows_stay_orthonormal(rows: int, columns: int) -> None:
    torch.manual_seed(0)
    matrix = Orthonormal(rows, columns)
    with torch.no_grad():
        matrix.weight.mul_(3).add_(torch.rand_like(matrix.weight))
    m = matrix()
    assert m.shape == (rows, columns)
    small = m @ m.T if matrix.wide else m.T @ m
    torch.testing.assert_close(small, torch.eye(min(rows, columns)))


def test_it_starts_at_its_weight() -> None:
    matrix = Orthonormal(6, 3)
    torch.testing.assert_close(matrix(), matrix.weight)


def test_gradient_against_differences() -> None:
    matrix = Orthonormal(4, 2).double()
    matrix.weight.data.add_(torch.rand(4, 2, dtype=torch.float64))

    def projected(weight: torch.Tensor) -> torch.Tensor:
        q, r = torch.linalg.qr(weight)
        return q * torch.sign(r.diagonal())

    assert torch.autograd.gradcheck(projected, matrix.weight)


def test_only_the_chosen_subspace_changes_and_the_source_learns_nothing() -> None:
    torch.manual_seed(0)
    intervention = Intervention(6, 5, 2, 0.0)
    base, source = torch.randn(7, 6), torch.randn(7, 5, requires_grad=True)
    out = intervention(base, source)
    turn = intervention.base()
    outside = torch.eye(6) - turn @ turn.T
    torch.testing.assert_close(out @ outside, base @ outside)
    out.sum().backward()
    assert source.grad is None


def test_dropout_is_for_training() -> None:
    intervention = Intervention(6, 5, 2, 0.9)
    base, source = torch.ones(50, 6), torch.ones(50, 5)
    assert (intervention(base, source) == 0).float().mean() > 0.5
    assert (intervention.eval()(base, source) != 0).all()


@pytest.mark.parametrize(("rank", "dropout"), [(0, 0.1), (6, 0.1), (2, 1.0), (2, -0.5)])
def test_what_does_not_fit(rank: int, dropout: float) -> None:
    with pytest.raises(ConfigError, match=r"low_rank_dim is \d|dropout_ratio [\d.-]+ is not in"):
        Intervention(6, 5, rank, dropout)
