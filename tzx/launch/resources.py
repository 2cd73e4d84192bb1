"""What a replica asks its machine for."""

from dataclasses import dataclass

from torchx import specs

from tzx.launch.topology import Topology
from tzx.runtime.errors import UserError

# A process trains with one core and feeds itself with another.
_CPUS_PER_PROCESS = 2
_MEGABYTES_PER_PROCESS = 4096


@dataclass(frozen=True)
class Demand:
    """The resource flags of a component; 0 means not said."""

    cpu: int = 0
    gpu: int = 0
    memMB: int = 0  # noqa: N815  (TorchX's name)
    h: str | None = None


def resource(demand: Demand, topology: Topology) -> specs.Resource:
    """The resource of one node: a named one, or numbers with defaults that grow with the processes."""
    if demand.h:
        try:
            found = specs.resource(h=demand.h)
        except KeyError as error:
            raise UserError(f"-h {demand.h}: {error.args[0]}") from None
    else:
        found = specs.Resource(
            cpu=demand.cpu or _CPUS_PER_PROCESS * topology.processes,
            gpu=demand.gpu,
            memMB=demand.memMB or _MEGABYTES_PER_PROCESS * topology.processes,
        )
    if 0 < found.gpu < topology.processes:
        raise UserError(
            f"-j asks for {topology.processes} processes on a node with {found.gpu} GPUs; each process needs its own"
        )
    return found


def threads_per_process(demand: Demand, found: specs.Resource, topology: Topology) -> int | None:
    """OMP_NUM_THREADS if the user said how many cores there are; else the process looks for itself."""
    if demand.cpu or demand.h:
        return max(1, int(found.cpu) // topology.processes)
    return None
