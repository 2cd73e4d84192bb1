import torch

from tzx.runtime.nn.field_attention import FieldAttention


def test_features_may_change_places() -> None:
    """Without positions, a permutation of the features permutes the outputs."""
    layer, x = FieldAttention(4, 2, 3), torch.randn(5, 6, 4)
    order = torch.randperm(6)
    torch.testing.assert_close(layer(x)[:, order], layer(x[:, order]))
    assert layer.out_dim == 6


def test_with_keys_of_zero_every_feature_sees_the_mean() -> None:
    layer, x = FieldAttention(4, 1, 4), torch.rand(5, 6, 4)
    with torch.no_grad():
        layer.key.weight.zero_()
        layer.residual.weight.zero_()
        layer.value.weight.copy_(torch.eye(4))
    torch.testing.assert_close(layer(x), x.mean(dim=1, keepdim=True).expand_as(x))
