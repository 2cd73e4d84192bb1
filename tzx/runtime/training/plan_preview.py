"""A sharding plan for processes that do not run yet, as tables to read or as JSON."""

import sys
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tzx.runtime.embedding.cluster import GIB, Cluster
from tzx.runtime.embedding.plan_costs import PlanCosts
from tzx.runtime.embedding.plan_files import describe_plan
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.training.planning import request_plan
from tzx.runtime.training.sharding import compute_plan, count_costs

_TABLES_SHOWN, _RANKS_SHOWN, _WIDTH = 40, 32, 140


@dataclass(frozen=True)
class Preview:
    """A plan, what it costs and for whom it was made."""

    cluster: Cluster
    plan: dict[str, Any]
    costs: PlanCosts
    batch_size: int

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data, sizes in bytes."""
        cluster = self.cluster
        return {
            "world_size": cluster.world_size,
            "local_world_size": cluster.local_world_size,
            "device": "cpu" if cluster.on_cpu else "gpu",
            "batch_size": self.batch_size,
            "plan": self.plan,
            **self.costs.to_json(cluster.world_size),
        }

    def print(self, console: Console | None = None) -> None:
        """Print tables, ranks and a summary."""
        console = console or Console(width=None if sys.stdout.isatty() else _WIDTH)
        console.print(self._tables())
        console.print(self._ranks())
        for line in self._summary():
            console.print(line, highlight=False, soft_wrap=True)

    def _tables(self) -> Table:
        found = _grid(["table", "rows", "width", "sharding", "kernel", "ranks", "memory", "sent per step"])
        shown, rest = self.costs.tables[:_TABLES_SHOWN], self.costs.tables[_TABLES_SHOWN:]
        for t in shown:
            place = (t.sharding_type, t.compute_kernel, _spans(list(t.bytes_by_rank)))
            found.add_row(
                t.name, f"{t.rows:,}", str(t.dim), *place, size_text(t.total_bytes), size_text(t.sent_per_step)
            )
        if rest:
            memory, sent = sum(t.total_bytes for t in rest), sum(t.sent_per_step for t in rest)
            found.add_row(f"{len(rest)} smaller tables", "", "", "", "", "", size_text(memory), size_text(sent))
        return found

    def _ranks(self) -> Table:
        world = self.cluster.world_size
        sizes, spilled = self.costs.bytes_by_rank(world), self.costs.spilled_by_rank(world)
        spills = any(spilled)
        last = ["tables in host memory"] if spills else []
        found = _grid(["rank", "tables", "share of its budget", "dense", *last])
        for rank in range(min(world, _RANKS_SHOWN)):
            share = sizes[rank] / self.costs.budget if self.costs.budget else 1.0
            row = [str(rank), size_text(sizes[rank]), f"{share:.1%}", size_text(self.costs.dense_bytes)]
            found.add_row(*row, *([size_text(spilled[rank])] if spills else []))
        if world > _RANKS_SHOWN:
            found.add_row(f"{world - _RANKS_SHOWN} more", f"at most {size_text(max(sizes[_RANKS_SHOWN:]))}")
        return found

    def _summary(self) -> list[str]:
        cluster, costs = self.cluster, self.costs
        sizes = costs.bytes_by_rank(cluster.world_size)
        return [
            f"{cluster.world_size} process(es), {cluster.local_world_size} on a host; {cluster.memory_text()}; "
            f"each has {size_text(costs.budget)} for tables ({cluster.reserve:.0%} kept free)",
            f"tables: {size_text(sum(t.total_bytes for t in costs.tables))} with optimizer state, replicas counted; "
            f"{size_text(max(sizes))} on the fullest rank, "
            f"{size_text(min(sizes))} on the emptiest",
            f"each process sends about {size_text(costs.sent_per_step)} in a step of {self.batch_size:,} rows: "
            f"{size_text(costs.sent_per_step - costs.dense_sent)} for tables, "
            f"{size_text(costs.dense_sent)} of dense gradients",
        ]


def preview(config: EasyRecConfig, world_size: int, local_world_size: int, device_type: str) -> Preview:
    """Plan for processes of the given number and kind, in this process alone."""
    planner = config.train_config.sharding_planner
    cluster = Cluster.from_config(planner, world_size, local_world_size, device_type)
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    request = request_plan(config, features, cluster, training=True)
    plan = compute_plan(request, planner.plan_file)
    return Preview(cluster, describe_plan(plan), count_costs(request, plan), config.data_config.batch_size)


def size_text(size: float) -> str:
    """Bytes as people read them."""
    for unit, factor in (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"


def _grid(columns: list[str]) -> Table:
    found = Table(box=box.SIMPLE_HEAD)
    words = ("table", "rank", "sharding", "kernel", "ranks")
    for column in columns:
        found.add_column(column, justify="left" if column in words else "right", no_wrap=True)
    return found


def _spans(ranks: list[int]) -> str:
    """Rising ranks, neighbours joined: 0-3, 6."""
    spans: list[list[int]] = []
    for rank in ranks:
        if spans and rank == spans[-1][1] + 1:
            spans[-1][1] = rank
        else:
            spans.append([rank, rank])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
