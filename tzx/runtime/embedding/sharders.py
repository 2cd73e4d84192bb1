"""TorchRec's sharders, offering on each kind of device what works there.

On CPU, TorchRec hides row-wise and grid sharding although they work, and offers UVM kernels, which fail. Data-parallel
tables are ours on every device, see `replicated`; so are tables on CPU, see `row_tables`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, EmbeddingCollection, EmbeddingConfig
from torchrec.distributed import batched_embedding_kernel as kernels
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.types import ModuleSharder, ParameterSharding, ShardingEnv
from torchrec.modules.embedding_configs import BaseEmbeddingConfig

from tzx.runtime.embedding.replicated import PartlyReplicated, Tables, copy_optimizer
from tzx.runtime.embedding.row_tables import RowTables

POOLED_TYPES = (
    "data_parallel",
    "table_wise",
    "column_wise",
    "table_column_wise",
    "row_wise",
    "table_row_wise",
    "grid_shard",
)
SEQUENCE_TYPES = ("data_parallel", "table_wise", "column_wise", "row_wise")
SPLITS_COLUMNS = ("column_wise", "table_column_wise", "grid_shard")


def make_sharders(device_type: str) -> list[ModuleSharder[nn.Module]]:
    """Sharders for pooled and sequence tables on this kind of device ("cpu" or "cuda")."""
    on_cpu = device_type == "cpu"
    return [cast(Any, _PooledSharder(on_cpu)), cast(Any, _SequenceSharder(on_cpu))]


class _OnDevice:
    """The types and kernels that a sharder offers the planner."""

    types: tuple[str, ...]

    def __init__(self, on_cpu: bool) -> None:
        super().__init__()
        self._on_cpu = on_cpu

    def sharding_types(self, compute_device_type: str) -> list[str]:
        return list(self.types)

    def compute_kernels(self, sharding_type: str, compute_device_type: str) -> list[str]:
        return kernels_of(sharding_type, self._on_cpu)


class _PooledSharder(_OnDevice, EmbeddingBagCollectionSharder):
    types = POOLED_TYPES

    def shard(  # type: ignore[override]
        self,
        module: EmbeddingBagCollection,
        params: dict[str, ParameterSharding],
        env: ShardingEnv,
        device: torch.device | None = None,
        module_fqn: str | None = None,
    ) -> nn.Module:
        def build(configs: Sequence[BaseEmbeddingConfig]) -> nn.Module:
            bags = cast(list[EmbeddingBagConfig], list(configs))
            return EmbeddingBagCollection(bags, is_weighted=module.is_weighted(), device=torch.device("meta"))

        def shard(part: nn.Module) -> nn.Module:
            return super(_PooledSharder, self).shard(
                cast(EmbeddingBagCollection, part), params, env, device, module_fqn
            )

        tables = _taken_apart(module, module.embedding_bag_configs(), "embedding_bags")
        with _row_kernels(self._on_cpu):
            return _shard_partly(module, tables, params, build, shard, device)


class _SequenceSharder(_OnDevice, EmbeddingCollectionSharder):
    types = SEQUENCE_TYPES

    def shard(  # type: ignore[override]
        self,
        module: EmbeddingCollection,
        params: dict[str, ParameterSharding],
        env: ShardingEnv,
        device: torch.device | None = None,
        module_fqn: str | None = None,
    ) -> nn.Module:
        def build(configs: Sequence[BaseEmbeddingConfig]) -> nn.Module:
            return EmbeddingCollection(cast(list[EmbeddingConfig], list(configs)), device=torch.device("meta"))

        def shard(part: nn.Module) -> nn.Module:
            embeddings = cast(EmbeddingCollection, part)
            return super(_SequenceSharder, self).shard(embeddings, params, env, device, module_fqn)

        tables = _taken_apart(module, module.embedding_configs(), "embeddings")
        with _row_kernels(self._on_cpu):
            return _shard_partly(module, tables, params, build, shard, device)


def kernels_of(sharding_type: str, on_cpu: bool) -> list[str]:
    """The compute kernels that there are for a sharding type."""
    if sharding_type == "data_parallel":
        return ["dense"]
    return ["fused"] if on_cpu else ["fused", "fused_uvm", "fused_uvm_caching"]


def _taken_apart(module: nn.Module, configs: Sequence[BaseEmbeddingConfig], attribute: str) -> Tables:
    weights = {name: table.get_parameter("weight") for name, table in module.get_submodule(attribute).named_children()}
    return Tables(configs, weights, attribute)


def _shard_partly(
    module: nn.Module,
    tables: Tables,
    params: Mapping[str, ParameterSharding],
    build: Callable[[Sequence[BaseEmbeddingConfig]], nn.Module],
    shard: Callable[[nn.Module], nn.Module],
    device: torch.device | None,
) -> nn.Module:
    """Shard a collection; where some of its tables are replicated, TorchRec gets a collection of the others."""
    replicated = [name for name, sharding in params.items() if sharding.sharding_type == "data_parallel"]
    if not replicated:
        return shard(module)
    configs = [c for c in tables.configs if c.name not in replicated]
    rest = Tables(configs, {c.name: tables.weights[c.name] for c in configs}, tables.attribute)
    sharded = None
    if configs:
        smaller = build(configs)
        for name, table in smaller.get_submodule(tables.attribute).named_children():
            copy_optimizer(rest.weights[name], table.get_parameter("weight"))
        sharded = shard(smaller)
    return PartlyReplicated(tables, replicated, sharded, rest, device)


@contextmanager
def _row_kernels(on_cpu: bool) -> Iterator[None]:
    """Let TorchRec build our tables on CPU; it has no place to hand them in."""
    replaced: dict[str, Any] = {}
    if on_cpu:
        replaced = {
            "SplitTableBatchedEmbeddingBagsCodegen": RowTables,
            "_assert_local_cols_divisible_by_4": lambda config: None,
        }
    kept = {name: vars(kernels)[name] for name in replaced.keys() & vars(kernels).keys()}
    try:
        vars(kernels).update({name: replaced[name] for name in kept})
        yield
    finally:
        vars(kernels).update(kept)
