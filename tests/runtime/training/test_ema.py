import torch
from torch import nn

from tzx.runtime.training.ema import MovingAverage


def test_first_update_copies_and_later_ones_decay():
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    average = MovingAverage({"p": parameter}, decay=0.75)
    with torch.no_grad():
        parameter.fill_(4.0)
    average.update()
    assert average.tensors["p"].tolist() == [4.0, 4.0]
    with torch.no_grad():
        parameter.fill_(8.0)
    average.update()
    assert average.tensors["p"].tolist() == [5.0, 5.0]


def test_applied_swaps_and_puts_back_even_on_errors():
    parameter = nn.Parameter(torch.tensor([1.0]))
    average = MovingAverage({"p": parameter}, decay=0.5)
    with torch.no_grad():
        parameter.fill_(3.0)
    try:
        with average.applied():
            assert parameter.item() == 1.0
            raise KeyError
    except KeyError:
        pass
    assert parameter.item() == 3.0
