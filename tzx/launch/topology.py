"""How many nodes and processes a job has: what `-j` says."""

import re
from dataclasses import dataclass

from tzx.runtime.errors import UserError

_FORM = re.compile(r"(?:(?:(\d+):)?(\d+)x)?(\d+)")


@dataclass(frozen=True)
class Topology:
    """min_nodes differs from nodes only in an elastic job."""

    min_nodes: int
    nodes: int
    processes: int  # on each node

    @property
    def is_elastic(self) -> bool:
        """Whether the job may run on fewer nodes than asked for."""
        return self.min_nodes < self.nodes

    @property
    def is_single(self) -> bool:
        """Whether it is one process, which needs no launcher of its own."""
        return self.nodes == self.processes == 1

    @property
    def nnodes(self) -> str:
        """In the form that torchrun takes."""
        return f"{self.min_nodes}:{self.nodes}" if self.is_elastic else str(self.nodes)


def parse_topology(j: str) -> Topology:
    """Reads "2x8", "1:4x8" or "8" (one node)."""
    match = _FORM.fullmatch(j.strip())
    if match is None:
        raise UserError(
            f"-j {j}: expected NODESxPROCESSES, e.g. 1x4 for one node with 4 processes, "
            f"2x8 for two nodes with 8 each, 1:4x8 for one to four nodes"
        )
    low, nodes, processes = match.groups()
    found = Topology(int(low or nodes or 1), int(nodes or 1), int(processes))
    if not 1 <= found.min_nodes <= found.nodes or found.processes < 1:
        raise UserError(f"-j {j}: needs at least one node and one process, and no more nodes at least than at most")
    return found
