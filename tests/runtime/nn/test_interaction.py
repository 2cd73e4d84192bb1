from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.nn.interaction import DotInteraction, FactorizationMachine


@given(features=st.integers(1, 5), width=st.integers(1, 4))
def test_factorization_machine_sums_products_of_pairs(features: int, width: int) -> None:
    x = torch.randn(3, features, width, dtype=torch.float64)
    expected = np.zeros((3, width))
    for i, j in combinations(range(features), 2):
        expected += (x[:, i] * x[:, j]).numpy()
    np.testing.assert_allclose(FactorizationMachine()(x).numpy(), expected, atol=1e-12)


@given(features=st.integers(2, 5))
def test_dot_interaction_lists_pairs_row_by_row(features: int) -> None:
    x = torch.randn(3, features, 2, dtype=torch.float64)
    expected = [(x[:, i] * x[:, j]).sum(1) for i, j in combinations(range(features), 2)]
    interaction = DotInteraction(features)
    assert interaction.out_dim == len(expected)
    torch.testing.assert_close(interaction(x), torch.stack(expected, dim=1))


@pytest.mark.parametrize("features", [1, 2, 5])
def test_gradients_of_interactions(features: int) -> None:
    x = torch.randn(3, features, 2, dtype=torch.float64, requires_grad=True)
    for interaction in (FactorizationMachine(), DotInteraction(features)):
        assert torch.autograd.gradcheck(interaction, x)
        with torch.no_grad():
            without = interaction(x)
        assert torch.equal(interaction(x).detach(), without)
