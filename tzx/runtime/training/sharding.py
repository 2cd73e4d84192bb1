"""Where each embedding table lives: a TorchRec plan, made on rank 0 and shared.

What cannot be planned is said on every rank: the others would otherwise wait for rank 0 until a time-out.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import ParameterConstraints, PlannerError
from torchrec.distributed.types import ShardingPlan

from tzx.runtime.config.problems import listing
from tzx.runtime.embedding.cluster import GIB, Cluster
from tzx.runtime.embedding.plan_costs import PlanCosts, Workload, dense_sent, smallest_need, table_cost
from tzx.runtime.embedding.plan_files import entries, fits, read_plan, to_plan, types_of
from tzx.runtime.embedding.row_updates import Rule
from tzx.runtime.embedding.sharders import POOLED_TYPES, SEQUENCE_TYPES, SPLITS_COLUMNS, kernels_of, make_sharders
from tzx.runtime.embedding.specs import TableSpec
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import Feature
from tzx.runtime.protos.train_pb2 import TrainConfig
from tzx.runtime.training.process import Process

logger = logging.getLogger("tzx")

# The planner warns about the constructor it offers, and about estimates that only matter for dry runs.
logging.getLogger("torchrec.distributed.planner").setLevel(logging.ERROR)

_LARGEST_SHOWN = 10
_NARROWEST_PIECE = 128  # columns; TorchRec's planner makes none narrower unless told so


@dataclass(frozen=True)
class PlanRequest:
    """Everything a plan depends on.

    Args:
        module: an nn.Module that holds the collections, on the meta device, optimizers attached.
        tables: every table.
        constraints: the planner's constraints of each.
        rule: the table optimizer.
        cluster: the ranks.
        work: what each trains on in a step.
        dense_parameters: number of the others.
    """

    module: Any
    tables: Mapping[str, TableSpec]
    constraints: dict[str, ParameterConstraints]
    rule: Rule
    cluster: Cluster
    work: Workload
    dense_parameters: int

    @property
    def dense_bytes(self) -> int:
        """Dense parameters with gradient and two moments, as Adam keeps them."""
        return self.dense_parameters * 4 * 4

    @property
    def budget(self) -> int:
        """Bytes that a rank has for tables."""
        return self.cluster.budget(self.dense_bytes)


def make_constraints(
    tables: Mapping[str, TableSpec], features: Mapping[str, Feature], config: TrainConfig, cluster: Cluster, rule: Rule
) -> dict[str, ParameterConstraints]:
    """Planner constraints per table, from the first of its features that has any, else the global ones.

    Args:
        tables: every table by name.
        features: every feature by name.
        config: carries `global_embedding_constraints`.
        cluster: alone, tables stay whole unless the config says otherwise: splitting one only costs time.
        rule: where it looks at whole rows, columns are split only if the config says so, for it changes results.
    """
    constraints = {}
    for name, table in tables.items():
        owners = [features[n].config for n in table.feature_names if n in features]
        own = [c.embedding_constraints for c in owners if c.HasField("embedding_constraints")]
        chosen = own[0] if own else config.global_embedding_constraints
        types = _types(table, list(chosen.sharding_types), cluster, rule)
        constraints[name] = ParameterConstraints(
            sharding_types=types,
            compute_kernels=_kernels(table, list(chosen.compute_kernels), types, cluster),
            pooling_factors=[ids_per_row(features[n]) if n in features else 1.0 for n in table.feature_names],
        )
    return constraints


def ids_per_row(feature: Feature) -> float:
    """Ids that a row has at most, as far as the config tells."""
    length = getattr(feature.config, "sequence_length", 0) if feature.is_sequence else 1
    return float(max(length, 1) * max(getattr(feature.config, "value_dim", 1), 1))


def _types(table: TableSpec, asked: Sequence[str], cluster: Cluster, rule: Rule) -> list[str]:
    possible = POOLED_TYPES if table.kind == "pooled" else SEQUENCE_TYPES
    if asked:
        found = [kind for kind in asked if kind in possible]
        if not found:
            raise ConfigError(
                f"table {table.name!r}: sharding_types {listing(asked)} cannot hold it, because a sequence uses it; "
                f"add one of {listing(possible)}"
            )
        return found
    if cluster.world_size == 1:
        return ["table_wise"]
    narrow = table.dim < 2 * _NARROWEST_PIECE
    return [kind for kind in possible if kind not in SPLITS_COLUMNS or not (narrow or rule.sees_whole_rows)]


def _kernels(table: TableSpec, asked: Sequence[str], types: Sequence[str], cluster: Cluster) -> list[str] | None:
    """Kernels that the config asks for; on CPU there is one for each sharding type, so a config for GPUs runs too."""
    if not asked or cluster.on_cpu:
        return None
    possible = dict.fromkeys(kernel for kind in types for kernel in kernels_of(kind, cluster.on_cpu))
    found = [kernel for kernel in asked if kernel in possible]
    if not found:
        raise ConfigError(
            f"table {table.name!r}: compute_kernels {listing(asked)} do not go with sharding_types {listing(types)}; "
            f"add one of {listing(list(possible))}"
        )
    return found


def make_plan(request: PlanRequest, process: Process, plan_file: str = "") -> ShardingPlan:
    """Plan on rank 0 and send the plan, or the reason why there is none, to every rank."""
    outcome: list[Any] = [None]
    if process.is_chief:
        try:
            outcome = [compute_plan(request, plan_file)]
        except Exception as error:  # whatever it is, the others must not wait for it
            if process.world_size == 1:
                raise
            outcome = [error if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"]
    if process.world_size > 1:
        dist.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], ConfigError):
        raise outcome[0]
    if isinstance(outcome[0], str):
        raise ConfigError(f"no sharding plan for {process.world_size} processes: {outcome[0]}")
    return outcome[0]


def compute_plan(request: PlanRequest, plan_file: str = "") -> ShardingPlan:
    """The plan, in this process alone."""
    cluster = request.cluster
    if plan_file:
        given = read_plan(plan_file)
        if fits(given, request.module, cluster):
            return to_plan(given, request.module, cluster)
        logger.warning("%s is of other tables or processes: its sharding types are kept, places are not", plan_file)
        _constrain(request.constraints, types_of(given), request.tables)
    host = cluster.host_bytes // cluster.local_world_size
    # The planner keeps the reserve itself, of what is left beside the dense parameters.
    device = int(request.budget / (1 - cluster.reserve))
    topology = Topology(
        world_size=cluster.world_size,
        local_world_size=cluster.local_world_size,
        compute_device=cluster.device_type,
        hbm_cap=None if cluster.on_cpu else device,
        ddr_cap=device if cluster.on_cpu else host,
        intra_host_bw=cluster.intra_node / 1000,  # TorchRec counts in milliseconds
        inter_host_bw=cluster.inter_node / 1000,
    )
    planner = EmbeddingShardingPlanner(
        topology=topology,
        batch_size=request.work.batch_size,
        storage_reservation=FixedPercentageStorageReservation(cluster.reserve),
        constraints=request.constraints,
        debug=False,
    )
    root = logging.getLogger()  # to which TorchRec says of each replicated table that it has no shards
    root.addFilter(_is_news)
    try:
        return planner.plan(request.module, make_sharders(cluster.device_type))
    except PlannerError as error:
        raise ConfigError(_misfit(request, error)) from error
    finally:
        root.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "Sharding spec not found" not in record.getMessage()


def _misfit(request: PlanRequest, error: PlannerError) -> str:
    """Which tables need how much, where the planner only says that there is no plan."""
    cluster = request.cluster
    needs = []
    for name, table in request.tables.items():
        types = request.constraints[name].sharding_types or []
        needs.append((*smallest_need(table, types, request.rule, cluster), table))
    needs.sort(key=lambda need: -need[1])
    lines = [
        f"  {table.name}: {table.rows:,} rows x {table.dim}, at least {_size(size)} on "
        f"{'every rank' if kind in ('row_wise', 'data_parallel') else 'one rank'} ({kind})"
        for kind, size, table in needs[:_LARGEST_SHOWN]
    ]
    rest = f"\n  and {len(needs) - _LARGEST_SHOWN} smaller tables" if len(needs) > _LARGEST_SHOWN else ""
    return (
        f"the embedding tables do not fit on {cluster.world_size} process(es), "
        f"each of which has {_size(request.budget)} for them ({cluster.memory_text()}, "
        f"{cluster.reserve:.0%} kept free, {_size(request.dense_bytes)} for dense parameters):\n"
        + "\n".join(lines)
        + rest
        + "\n"
        "start more processes, allow row_wise, take smaller or FP16 tables or an optimizer with less state, "
        f"or correct the memory in train_config.sharding_planner (planner: {str(error).splitlines()[0]})"
    )


def _size(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 100 else f"{size / 2**20:.2f} MiB"


def _constrain(
    constraints: dict[str, ParameterConstraints], types: Mapping[str, str], tables: Mapping[str, TableSpec]
) -> None:
    for name in tables.keys() & types.keys():
        constraints[name].sharding_types = [types[name]]
    if fresh := sorted(tables.keys() - types.keys()):
        logger.warning("plan_file has no %s; planned afresh", listing(fresh))


def count_costs(request: PlanRequest, plan: ShardingPlan) -> PlanCosts:
    """Memory and traffic of a plan."""
    found = [
        table_cost(request.tables[name], sharding, request.rule, request.cluster, request.work)
        for _, name, sharding in entries(plan)
    ]
    return PlanCosts(
        tables=tuple(sorted(found, key=lambda t: (-t.total_bytes, t.name))),
        dense_bytes=request.dense_bytes,
        dense_sent=dense_sent(request.dense_parameters, request.cluster),
        budget=request.budget,
    )
