"""Plans on file, as checkpoints hold them: {module: {table: {sharding_type, compute_kernel, ranks}}}."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import fsspec
from torch import nn
from torchrec.distributed import sharding_plan as make
from torchrec.distributed.types import ShardingPlan

from tzx.runtime.embedding.cluster import Cluster
from tzx.runtime.embedding.sharders import make_sharders
from tzx.runtime.errors import ConfigError

FilePlan = Mapping[str, Mapping[str, Mapping[str, Any]]]


def describe_plan(plan: ShardingPlan) -> dict[str, dict[str, dict[str, Any]]]:
    """The plan as plain data."""
    described: dict[str, dict[str, dict[str, Any]]] = {}
    for module, table, p in entries(plan):
        entry = {"sharding_type": p.sharding_type, "compute_kernel": p.compute_kernel, "ranks": p.ranks}
        described.setdefault(module, {})[table] = entry
    return described


def entries(plan: ShardingPlan) -> Iterable[tuple[str, str, Any]]:
    """Module, table and TorchRec's ParameterSharding of every table."""
    for module, tables in plan.plan.items():
        for table, sharding in tables.items():  # type: ignore[attr-defined]
            yield module, table, sharding


def read_plan(path: str) -> FilePlan:
    """Read a plan, local or a URL: the file `plan` of a checkpoint, or what the plan app printed as JSON."""
    try:
        with fsspec.open(path, "r") as file:
            plan = json.load(file)
        plan = plan.get("plan", plan)
        for tables in plan.values():
            for entry in tables.values():
                entry["sharding_type"], entry["ranks"]
    except OSError as error:
        raise ConfigError(f"train_config.sharding_planner.plan_file {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ConfigError(f"train_config.sharding_planner.plan_file {path} is not a sharding plan ({error})") from error
    return plan


def types_of(plan: FilePlan) -> dict[str, str]:
    """Sharding type of each table."""
    return {name: entry["sharding_type"] for tables in plan.values() for name, entry in tables.items()}


def fits(plan: FilePlan, module: nn.Module, cluster: Cluster) -> bool:
    """Whether the plan places exactly the tables of `module` on exactly these ranks."""
    ranks = {rank for tables in plan.values() for entry in tables.values() for rank in entry["ranks"]}
    replicated = [entry for tables in plan.values() for entry in tables.values() if _is_everywhere(entry)]
    if max(ranks, default=0) >= cluster.world_size or any(len(e["ranks"]) != cluster.world_size for e in replicated):
        return False
    sharders = {s.module_type: s for s in make_sharders(cluster.device_type)}
    found = {name: m for name, m in module.named_modules() if type(m) in sharders}
    wanted = {name: set(sharders[type(m)].shardable_parameters(m)) for name, m in found.items()}
    return wanted == {name: set(tables) for name, tables in plan.items()}


def to_plan(plan: FilePlan, module: nn.Module, cluster: Cluster) -> ShardingPlan:
    """TorchRec's form of a plan that `fits`."""
    sharders = {s.module_type: s for s in make_sharders(cluster.device_type)}
    plans = {}
    for name, tables in plan.items():
        collection = module.get_submodule(name)
        plans[name] = make.construct_module_sharding_plan(
            collection,
            per_param_sharding={table: _generator(entry, cluster) for table, entry in tables.items()},
            sharder=sharders[type(collection)],
            local_size=cluster.local_world_size,
            world_size=cluster.world_size,
            device_type=cluster.device_type,
        )
    return ShardingPlan(plans)  # type: ignore[arg-type]


def _is_everywhere(entry: Mapping[str, Any]) -> bool:
    return entry["sharding_type"] in ("data_parallel", "row_wise")


def _generator(entry: Mapping[str, Any], cluster: Cluster) -> Any:
    kind, ranks, kernel = entry["sharding_type"], entry["ranks"], entry.get("compute_kernel")
    hosts = list(dict.fromkeys(rank // cluster.local_world_size for rank in ranks))
    if kind == "data_parallel":
        return make.data_parallel()
    if kind == "table_wise":
        return make.table_wise(ranks[0], compute_kernel=kernel)
    if kind == "row_wise":
        return make.row_wise(compute_kernel=kernel)
    if kind in ("column_wise", "table_column_wise"):
        return make.column_wise(ranks, compute_kernel=kernel)
    return make.table_row_wise(hosts[0]) if kind == "table_row_wise" else make.grid_shard(hosts)
