import pytest
import torch

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.bilinear import BilinearInteraction, SqueezeExcitation


@pytest.mark.parametrize(("kind", "matrices"), [("all", 1), ("each", 4), ("interaction", 6)])
def test_with_unit_matrices_every_pair_is_multiplied(kind: str, matrices: int) -> None:
    layer = BilinearInteraction(4, 3, kind)
    assert layer.weight.shape == (matrices, 3, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3).expand(matrices, 3, 3))
    x = torch.randn(5, 4, 3)
    pairs = [x[:, i] * x[:, j] for i in range(4) for j in range(i + 1, 4)]
    torch.testing.assert_close(layer(x), torch.cat(pairs, dim=1))
    assert layer.out_dim == 18


def test_importance_keeps_directions() -> None:
    x = torch.randn(7, 6, 4)
    weights = SqueezeExcitation(6, 4)(x) / x
    torch.testing.assert_close(weights, weights[:, :, :1].expand_as(weights))
    assert (weights >= 0).all()


def test_a_reduction_to_nothing_leaves_one_unit() -> None:
    assert SqueezeExcitation(3, 10).squeeze.weight.shape == (1, 3)


def test_what_cannot_be() -> None:
    with pytest.raises(
        ConfigError, match="bilinear_type is 'al'; allowed: all, each, interaction; did you mean \"all\""
    ):
        BilinearInteraction(4, 3, "al")
    with pytest.raises(ConfigError, match="reduction_ratio is 0; allowed: 1 or more"):
        SqueezeExcitation(3, 0)
