import torch

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.data.keys import NO_KEY, first_ids, row_keys


def test_first_id_of_each_row():
    values, lengths = torch.tensor([7, 8, 9]), torch.tensor([2, 0, 1, 0], dtype=torch.int32)
    assert first_ids(values, lengths).tolist() == [7, NO_KEY, 9, NO_KEY]
    assert first_ids(values[:0], torch.tensor([0, 0], dtype=torch.int32)).tolist() == [NO_KEY, NO_KEY]


def test_keys_come_from_a_feature_or_a_label():
    empty = Jagged(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32))
    ones = torch.ones(4, dtype=torch.int32)
    batch = Batch(
        size=2,
        layout=BatchLayout(ids=("user", "item"), weighted_ids=("tag",)),
        dense=torch.empty(2, 0),
        ids=Jagged(torch.tensor([1, 2, 3, 4]), ones),
        weighted_ids=Jagged(torch.tensor([5, 6, 8]), torch.tensor([1, 2], dtype=torch.int32), torch.rand(3)),
        sequence_ids=empty,
        labels={"day": torch.tensor([9.0, 2.0])},
    )
    assert {n: row_keys(batch, n).tolist() for n in ("user", "item", "tag", "day")} == {
        "user": [1, 2],
        "item": [3, 4],
        "tag": [5, 6],
        "day": [9, 2],
    }
