"""Where each embedding table lives: a TorchRec plan, made on rank 0 and shared.

On CPU, TorchRec's own sharders hide row-wise and grid sharding although they work there; ours offer them. They do not
offer UVM kernels, which fail there, nor data-parallel tables, which have no fused optimizer and would not train.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints, PlannerError
from torchrec.distributed.types import ModuleSharder, ShardingPlan

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import Feature
from tzx.runtime.protos.train_pb2 import TrainConfig
from tzx.runtime.training.process import Process

# The planner warns about the constructor it offers, and about estimates that only matter for dry runs.
logging.getLogger("torchrec.distributed.planner").setLevel(logging.ERROR)

_POOLED = (
    "table_wise",
    "column_wise",
    "table_column_wise",
    "row_wise",
    "table_row_wise",
    "grid_shard",
)
_SEQUENCE = ("table_wise", "column_wise", "row_wise")


class _CpuPooledSharder(EmbeddingBagCollectionSharder):
    def sharding_types(self, compute_device_type: str) -> list[str]:
        return list(_POOLED)

    def compute_kernels(self, sharding_type: str, compute_device_type: str) -> list[str]:
        return ["fused"]


class _CpuSequenceSharder(EmbeddingCollectionSharder):
    def sharding_types(self, compute_device_type: str) -> list[str]:
        return list(_SEQUENCE)

    def compute_kernels(self, sharding_type: str, compute_device_type: str) -> list[str]:
        return ["fused"]


def make_sharders(device: torch.device) -> list[ModuleSharder[nn.Module]]:
    """Sharders for pooled and sequence tables on this kind of device."""
    if device.type == "cpu":
        return [_CpuPooledSharder(), _CpuSequenceSharder()]  # type: ignore[list-item]
    return [EmbeddingBagCollectionSharder(), EmbeddingCollectionSharder()]  # type: ignore[list-item]


def make_constraints(
    tables: Mapping[str, Iterable[str]],
    features: Mapping[str, Feature],
    config: TrainConfig,
    world_size: int,
) -> dict[str, ParameterConstraints]:
    """Planner constraints per table, from the first of its features that has any, else the global ones.

    Args:
        tables: names of the features that look up each table.
        features: every feature by name.
        config: carries `global_embedding_constraints`.
        world_size: alone, tables stay whole unless the config says otherwise: splitting one only costs time.
    """
    default = ["table_wise"] if world_size == 1 else None
    constraints = {}
    for table, feature_names in tables.items():
        owners = [features[n].config for n in feature_names if n in features]
        own = [c.embedding_constraints for c in owners if c.HasField("embedding_constraints")]
        chosen = own[0] if own else config.global_embedding_constraints
        constraints[table] = ParameterConstraints(
            sharding_types=list(chosen.sharding_types) or default,
            compute_kernels=list(chosen.compute_kernels) or None,
        )
    return constraints


def make_plan(model: nn.Module, constraints: dict[str, ParameterConstraints], process: Process) -> ShardingPlan:
    """Plan on rank 0 and send the plan, or the reason why there is none, to every rank."""
    outcome: list[Any] = [None]
    if process.is_chief:
        try:
            outcome = [_plan(model, constraints, process)]
        except PlannerError as error:
            outcome = [str(error)]
    if process.world_size > 1:
        dist.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], str):
        raise ConfigError(f"no sharding plan fits {process.world_size} process(es): {outcome[0]}")
    return outcome[0]


def _plan(model: nn.Module, constraints: dict[str, ParameterConstraints], process: Process) -> ShardingPlan:
    topology = Topology(
        world_size=process.world_size,
        local_world_size=process.local_world_size,
        compute_device=process.device.type,
    )
    planner = EmbeddingShardingPlanner(topology=topology, constraints=constraints)
    return planner.plan(model, make_sharders(process.device))


def describe_plan(plan: ShardingPlan) -> dict[str, dict[str, dict[str, Any]]]:
    """The plan as plain data: {module: {table: {sharding_type, compute_kernel, ranks}}}."""
    return {
        module: {
            table: {"sharding_type": p.sharding_type, "compute_kernel": p.compute_kernel, "ranks": p.ranks}
            for table, p in tables.items()  # type: ignore[attr-defined]
        }
        for module, tables in plan.plan.items()
    }
