"""Named resources: found by TorchX under their names, and fit for the machines they name."""

import inspect
from importlib.metadata import entry_points

import pytest
from torchx import specs

from tzx.launch import named_resources

FUNCTIONS = {name: make for name, make in inspect.getmembers(named_resources, inspect.isfunction) if name[0] != "_"}


def test_all_are_registered() -> None:
    listed = {entry.name: entry.value for entry in entry_points(group="torchx.named_resources")}
    assert listed == {name: f"tzx.launch.named_resources:{name}" for name in FUNCTIONS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_job_asks_for_less_than_the_machine_has(name: str) -> None:
    found = specs.resource(h=name)
    cores = int(name.rpartition("_")[2]) if "cpu" in name else found.cpu + 1
    assert found.cpu == cores - 1 > 0 and found.memMB > 1024 * cores
    assert found.gpu == (0 if "cpu" in name else int(name.rpartition("_")[2]))
    assert found.capabilities and set(found.capabilities) <= {
        named_resources.AWS,
        named_resources.ALIYUN,
        named_resources.GCP,
    }
