import pytest
import torch
import torch.distributed as dist
import warm

from tzx.runtime.errors import UserError
from tzx.runtime.training import process as module
from tzx.runtime.training.process import Process, restarts
from tzx.runtime.training.settings import RunSettings


def test_unset_variables_mean_alone():
    process = Process.from_env({})
    assert (process.rank, process.world_size, process.is_chief) == (0, 1, True)


def test_the_launchers_variables_are_read():
    env = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    process = Process.from_env(env | {"PROCESS_GROUP_TIMEOUT_SECONDS": "7"})
    assert (process.rank, process.local_rank, process.world_size, process.local_world_size) == (3, 1, 4, 2)
    assert process.timeout.total_seconds() == 7 and not process.is_chief


def test_more_processes_than_gpus_say_how_many_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert module._device(1) == torch.device("cuda", 1)
    with pytest.raises(UserError, match="local rank 2 has no GPU: this host shows 2"):
        module._device(2)


def test_alone_a_group_is_joined_without_a_port_and_left():
    process = Process.from_env({})
    process.join_group()
    try:
        process.join_group()  # joining twice is harmless
        assert dist.get_world_size() == 1
    finally:
        process.leave_group()
    assert not dist.is_initialized()


def test_restarts_of_scheduler_and_torchrun_add_up():
    assert restarts({}) == 0
    assert restarts({"TZX_RESTART_COUNT": "1", "TORCHELASTIC_RESTART_COUNT": "2"}) == 3


def test_a_seed_flag_wins_over_the_environment_which_wins_over_the_default():
    assert RunSettings.from_env(None, {}).seed == RunSettings.seed
    assert RunSettings.from_env(None, {"TORCH_MANUAL_SEED": "7"}).seed == 7
    assert RunSettings.from_env(3, {"TORCH_MANUAL_SEED": "7"}).seed == 3
    assert RunSettings.from_env(None, {"USE_DETERMINISTIC_ALGORITHMS": "true"}).deterministic


def test_counts_are_summed_over_processes():
    code = (
        "from tzx.runtime.training.process import Process; p = Process.from_env(); p.join_group(); "
        "print(sorted(p.summed([{'a': 1}, {'a': 2, 'b': 5}][p.rank]).items()), flush=True); p.leave_group()"
    )
    ended = warm.ranks(["-c", code], 2)
    assert [done.stdout for done in ended] == ["[('a', 3), ('b', 5)]\n"] * 2, ended[0].stderr
    assert Process().summed({"a": 1}) == {"a": 1}
