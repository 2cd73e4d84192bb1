import torch

from tzx.runtime.nn.cin import CompressedInteraction
from tzx.runtime.protos.module_pb2 import CIN


def test_layer_k_is_of_degree_k_plus_one_and_pooled_over_the_width() -> None:
    cin = CompressedInteraction(3, CIN(cin_layer_size=[4, 2, 5]))
    for layer in cin.layers:
        torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    x = torch.randn(2, 3, 6)
    once, twice = cin(x), cin(2 * x)
    assert once.shape == (2, cin.out_dim) == (2, 11)
    for part, degree in zip((slice(0, 4), slice(4, 6), slice(6, 11)), (2, 3, 4), strict=True):
        torch.testing.assert_close(twice[:, part], 2**degree * once[:, part])


def test_columns_of_the_embeddings_do_not_mix() -> None:
    cin = CompressedInteraction(2, CIN(cin_layer_size=[3]))
    x = torch.randn(1, 2, 4)
    whole = cin(x) - cin(0 * x)
    parts = [cin(x[:, :, [d]]) - cin(0 * x[:, :, [d]]) for d in range(4)]
    torch.testing.assert_close(whole, sum(parts))
