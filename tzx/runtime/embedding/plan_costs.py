"""What a sharding plan costs: bytes of memory on every rank, and bytes that a rank sends in one step.

Counted from the plan's own shards: weights, optimizer state, and the traffic that each sharding type needs. A rank's
traffic is the average over ranks, forward and backward; ids are int64, embeddings and gradients float32.

Legend: W ranks, L ranks of a host, B rows of a batch, n ids per row, D width, k pieces of a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tzx.runtime.embedding.cluster import Cluster
from tzx.runtime.embedding.replicated import exchanges_whole_table
from tzx.runtime.embedding.row_updates import Rule
from tzx.runtime.embedding.specs import TableSpec

_ID, _FLOAT = 8, 4
_CACHED = 0.2  # share of a table in FBGEMM's cache where the plan names none
_FLOAT_BYTES = {"FP32": 4, "FP16": 2}


@dataclass(frozen=True)
class TableCost:
    """One table of a plan."""

    name: str
    rows: int
    dim: int
    sharding_type: str
    compute_kernel: str
    weight_bytes: int  # all replicas together
    state_bytes: int
    bytes_by_rank: dict[int, int]  # on the device that the rank trains on
    spilled_by_rank: dict[int, int]  # of tables for GPUs, in host memory
    sent_per_step: int  # by one rank

    @property
    def total_bytes(self) -> int:
        """Weights and optimizer state on all ranks."""
        return self.weight_bytes + self.state_bytes


@dataclass(frozen=True)
class PlanCosts:
    """A whole plan.

    Args:
        tables: largest first.
        dense_bytes: dense parameters, their gradients and optimizer state, on every rank.
        dense_sent: bytes of dense gradients that a rank sends per step.
        budget: bytes that a rank has for tables.
    """

    tables: tuple[TableCost, ...]
    dense_bytes: int
    dense_sent: int
    budget: int

    def bytes_by_rank(self, world_size: int) -> list[int]:
        """Bytes of tables on the device of each rank."""
        return _totals([t.bytes_by_rank for t in self.tables], world_size)

    def spilled_by_rank(self, world_size: int) -> list[int]:
        """Bytes of tables for GPUs that each rank keeps in host memory."""
        return _totals([t.spilled_by_rank for t in self.tables], world_size)

    @property
    def sent_per_step(self) -> int:
        """Bytes that a rank sends per step."""
        return self.dense_sent + sum(t.sent_per_step for t in self.tables)

    def to_json(self, world_size: int) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "tables": [asdict(t) for t in self.tables],
            "ranks": [
                {"rank": rank, "table_bytes": size, "spilled_bytes": spilled, "dense_bytes": self.dense_bytes}
                for rank, (size, spilled) in enumerate(
                    zip(self.bytes_by_rank(world_size), self.spilled_by_rank(world_size), strict=True)
                )
            ],
            "budget_bytes": self.budget,
            "dense_sent_per_step": self.dense_sent,
            "sent_per_step": self.sent_per_step,
        }


@dataclass(frozen=True)
class Workload:
    """What a rank trains on in one step: rows, and ids per row of each feature."""

    batch_size: int
    ids_per_row: Mapping[str, float]

    def ids(self, table: TableSpec) -> float:
        """Ids per row of all features of a table."""
        return sum(self.ids_per_row.get(name, 1.0) for name in table.feature_names)


def bytes_per_row(table: TableSpec, columns: int, rule: Rule) -> tuple[int, int]:
    """Bytes of a row's weights and of its optimizer state, for a piece of `columns`."""
    states = [1 if rowwise else columns for _, rowwise in rule.states] if table.trainable else []
    return columns * _FLOAT_BYTES[table.data_type], sum(states) * _FLOAT


def table_cost(table: TableSpec, sharding: Any, rule: Rule, cluster: Cluster, work: Workload) -> TableCost:
    """Cost of one table.

    Args:
        table: the table.
        sharding: TorchRec's ParameterSharding of it.
        rule: the optimizer.
        cluster: the ranks.
        work: what they train on.
    """
    weights, states = 0, 0
    by_rank: dict[int, int] = {}
    spilled: dict[int, int] = {}
    kept = 1.0 if cluster.on_cpu else _share_on_gpu(sharding)
    for rank, rows, columns in shards(table, sharding, cluster.world_size):
        weight, state = (size * rows for size in bytes_per_row(table, columns, rule))
        weights, states = weights + weight, states + state
        here = int((weight + state) * kept)
        by_rank[rank] = by_rank.get(rank, 0) + here
        spilled[rank] = spilled.get(rank, 0) + weight + state - here
    return TableCost(
        name=table.name,
        rows=table.rows,
        dim=table.dim,
        sharding_type=sharding.sharding_type,
        compute_kernel=sharding.compute_kernel,
        weight_bytes=weights,
        state_bytes=states,
        bytes_by_rank=dict(sorted(by_rank.items())),
        spilled_by_rank={rank: size for rank, size in sorted(spilled.items()) if size},
        sent_per_step=int(_sent(table, sharding, cluster, work)),
    )


def _share_on_gpu(sharding: Any) -> float:
    """Share of a table that is in GPU memory; UVM kernels keep it in host memory, behind a cache or not."""
    if sharding.compute_kernel == "fused_uvm_caching":
        return getattr(sharding.cache_params, "load_factor", None) or _CACHED
    return 0.0 if sharding.compute_kernel == "fused_uvm" else 1.0


def _totals(parts: Sequence[Mapping[int, int]], world_size: int) -> list[int]:
    return [sum(part.get(rank, 0) for part in parts) for rank in range(world_size)]


def shards(table: TableSpec, sharding: Any, world_size: int) -> list[tuple[int, int, int]]:
    """Rank, rows and columns of every piece of a table."""
    if sharding.sharding_type == "data_parallel":
        return [(rank, table.rows, table.dim) for rank in range(world_size)]
    return [(s.placement.rank(), *s.shard_sizes) for s in sharding.sharding_spec.shards]


def _sent(table: TableSpec, sharding: Any, cluster: Cluster, work: Workload) -> float:
    world, local = cluster.world_size, min(cluster.local_world_size, cluster.world_size)
    if world == 1:
        return 0.0
    kind, elsewhere = sharding.sharding_type, (world - 1) / world
    ids = work.batch_size * work.ids(table)
    if kind == "data_parallel":
        touched = min(ids, table.rows)
        if exchanges_whole_table(touched, table.rows, table.dim, world):
            return 2 * table.rows * (table.dim + 1) * _FLOAT * elsewhere
        return touched * (_ID + table.dim * _FLOAT) * (world - 1)
    pieces = len({s.shard_offsets[1] for s in sharding.sharding_spec.shards})
    sent = ids * _ID * pieces * elsewhere
    if table.kind == "sequence":  # one embedding per id, and its gradient back
        return sent + 2 * ids * table.dim * _FLOAT * elsewhere
    pooled = work.batch_size * len(table.feature_names) * table.dim * _FLOAT
    if kind == "row_wise":  # every rank has a part of every sum
        return sent + 2 * pooled * (world - 1)
    if kind in ("table_row_wise", "grid_shard"):  # parts of sums within a host, sums between hosts
        hosts = world / local
        return sent + 2 * pooled * ((local - 1) + (hosts - 1) / hosts)
    return sent + 2 * pooled * elsewhere


def dense_sent(parameters: int, cluster: Cluster) -> int:
    """Bytes that a rank sends to average the gradients of the dense parameters in a ring."""
    return int(2 * (cluster.world_size - 1) / cluster.world_size * parameters * _FLOAT)


def smallest_need(table: TableSpec, types: Sequence[str], rule: Rule, cluster: Cluster) -> tuple[str, int]:
    """The sharding type, of those given, that takes the least of one rank, and how much it takes there."""
    world, local = cluster.world_size, min(cluster.local_world_size, cluster.world_size)
    whole = table.rows * sum(bytes_per_row(table, table.dim, rule))
    parts = {"row_wise": world, "table_row_wise": local, "column_wise": 1, "table_column_wise": 1, "grid_shard": local}
    return min(((kind, -(-whole // parts.get(kind, 1))) for kind in types), key=lambda pair: pair[1])
