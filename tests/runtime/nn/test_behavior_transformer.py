import torch

from tzx.runtime.nn.behavior_transformer import BehaviorTransformer
from tzx.runtime.protos.sequence_model_pb2 import BSTTower


def test_what_lies_beyond_a_row_does_not_matter() -> None:
    encoder = BehaviorTransformer(2, 4, BSTTower(input="s", max_seq_length=3, num_layers=2))
    query, sequence, lengths = torch.randn(3, 2), torch.randn(3, 5, 4), torch.tensor([5, 2, 0])
    changed = sequence.clone()
    changed[0, 3:], changed[1, 2:], changed[2] = 7, 7, 7
    encoded = encoder(query, sequence, lengths)
    torch.testing.assert_close(encoded, encoder(query, changed, lengths))
    positions = encoded.unflatten(1, (4, 4)).abs().sum(dim=2) > 0
    assert positions.int().tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]


def test_positions_matter() -> None:
    encoder = BehaviorTransformer(4, 4, BSTTower(input="s", max_seq_length=3))
    query, sequence = torch.randn(2, 4), torch.randn(2, 3, 4)
    lengths = torch.tensor([3, 3])
    query_part = slice(0, 4)
    turned = encoder(query, sequence.flip(1), lengths)[:, query_part]
    assert not torch.allclose(encoder(query, sequence, lengths)[:, query_part], turned)
    torch.nn.init.zeros_(encoder.position)
    turned = encoder(query, sequence.flip(1), lengths)[:, query_part]
    torch.testing.assert_close(encoder(query, sequence, lengths)[:, query_part], turned)


def test_shorter_and_longer_batches_are_as_wide() -> None:
    encoder = BehaviorTransformer(4, 4, BSTTower(input="s", max_seq_length=3))
    for steps in (0, 1, 9):
        encoded = encoder(torch.randn(2, 4), torch.randn(2, steps, 4), torch.tensor([steps, 0]))
        assert encoded.shape == (2, 16) == (2, encoder.out_dim)
