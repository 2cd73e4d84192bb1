import pytest

from tzx.launch.resources import Demand, resource, threads_per_process
from tzx.launch.topology import parse_topology
from tzx.runtime.errors import UserError


def test_defaults_grow_with_the_processes() -> None:
    one, four = (resource(Demand(), parse_topology(j)) for j in ("1x1", "2x4"))
    assert (one.cpu, one.gpu, one.memMB) == (2, 0, 4096)
    assert (four.cpu, four.gpu, four.memMB) == (8, 0, 16384)


def test_what_is_said_counts() -> None:
    found = resource(Demand(cpu=6, gpu=4, memMB=1000), parse_topology("1x4"))
    assert (found.cpu, found.gpu, found.memMB) == (6, 4, 1000)


def test_named_resources() -> None:
    assert resource(Demand(h="gpu.small"), parse_topology("1x1")).gpu == 1
    with pytest.raises(UserError, match=r"-h gpu\.smal: .*Did you mean `gpu\.small`"):
        resource(Demand(h="gpu.smal"), parse_topology("1x1"))


def test_a_process_needs_a_gpu_of_its_own() -> None:
    with pytest.raises(UserError, match="4 processes on a node with 2 GPUs"):
        resource(Demand(gpu=2), parse_topology("1x4"))


@pytest.mark.parametrize(
    ("demand", "j", "threads"),
    [(Demand(), "1x4", None), (Demand(cpu=8), "1x4", 2), (Demand(cpu=2), "1x4", 1), (Demand(h="gpu.small"), "1x1", 8)],
)
def test_threads(demand: Demand, j: str, threads: int | None) -> None:
    topology = parse_topology(j)
    assert threads_per_process(demand, resource(demand, topology), topology) == threads
