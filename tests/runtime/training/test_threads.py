import os
from pathlib import Path

import pytest
import torch

from tzx.runtime.training.process import Process
from tzx.runtime.training.threads import set_threads


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr("tzx.runtime.data.cores._QUOTA", Path("/no quota"))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("parameters", "batch", "processes", "expected"),
    [(62_000, 1024, 1, 1), (142_000, 4096, 1, 8), (142_000, 4096, 4, 2), (142_000, 4096, 16, 1)],
)
def test_long_steps_take_this_process_share_of_the_cores(parameters, batch, processes, expected):
    set_threads(parameters, batch, Process(local_world_size=processes), env={})
    assert torch.get_num_threads() == expected


def test_the_environment_and_gpus_are_left_alone():
    torch.set_num_threads(3)
    set_threads(1, 1, Process(), env={"OMP_NUM_THREADS": "3"})
    set_threads(1, 1, Process(device=torch.device("cuda", 0)), env={})
    assert torch.get_num_threads() == 3
