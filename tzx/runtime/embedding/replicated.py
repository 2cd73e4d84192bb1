"""Data-parallel tables: every rank holds all rows and applies the gradients of all ranks.

TorchRec gives such tables to a dense kernel whose gradient is as large as the table, with no sparse optimizer, and not
at all to sequences on CPU. Here ranks exchange touched rows only, and the table's own optimizer updates every replica
in the same order, so that replicas stay equal to the last bit.
"""

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from fbgemm_gpu.split_embedding_configs import SparseType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from torch import Tensor, nn
from torchrec import JaggedTensor, KeyedJaggedTensor, KeyedTensor
from torchrec.distributed.types import Awaitable
from torchrec.distributed.utils import optimizer_type_to_emb_opt_type
from torchrec.modules.embedding_configs import BaseEmbeddingConfig, DataType
from torchrec.modules.embedding_modules import get_embedding_names_by_table
from torchrec.optim.fused import FusedOptimizer, FusedOptimizerModule
from torchrec.optim.keyed import CombinedOptimizer

from tzx.runtime.embedding.row_tables import RowTables, sum_by_row


@dataclass(frozen=True)
class Tables:
    """A collection taken apart: its tables, their unsharded weights, and what its kind is called.

    Args:
        configs: every table of the collection.
        weights: by table, with the optimizer that was attached to it.
        attribute: where a collection keeps its tables, "embedding_bags" or "embeddings".
    """

    configs: Sequence[BaseEmbeddingConfig]
    weights: Mapping[str, nn.Parameter]
    attribute: str

    @property
    def pooled(self) -> bool:
        """Whether it gives one row per bag."""
        return self.attribute == "embedding_bags"

    def names(self) -> dict[tuple[str, str], str]:
        """What the collection calls the output of each table and feature."""
        listed = get_embedding_names_by_table(cast(Any, list(self.configs)))
        return {
            (config.name, feature): name
            for config, of_table in zip(self.configs, listed, strict=True)
            for feature, name in zip(config.feature_names, of_table, strict=True)
        }


class PartlyReplicated(nn.Module, FusedOptimizerModule):
    """A collection of which some tables are replicated; the others, if any, are sharded by TorchRec.

    Args:
        tables: the collection.
        replicated: names of the tables that every rank holds.
        sharded: TorchRec's module of the other tables.
        sharded_tables: the same, taken apart.
        device: where replicas live.
    """

    def __init__(
        self,
        tables: Tables,
        replicated: Sequence[str],
        sharded: nn.Module | None,
        sharded_tables: Tables,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.sharded = sharded
        self._attribute, self._pooled = tables.attribute, tables.pooled
        names = tables.names()
        self._renamed = {name: names[key] for key, name in sharded_tables.names().items()}
        self._sharded_features = _unique([f for c in sharded_tables.configs for f in c.feature_names])
        group = dist.new_group() if dist.get_world_size() > 1 else None
        groups = _groups([c for c in tables.configs if c.name in set(replicated)], tables.weights)
        # A list hides them from DistributedDataParallel, as TorchRec hides its own.
        where = device or torch.device("cpu")
        self.kernels = [_make_kernel(g, tables, where, group) for g in groups]
        self._features = [[f for c in g for f in c.feature_names] for g in groups]
        self._outputs = [[(names[c.name, f], c.embedding_dim) for c in g for f in c.feature_names] for g in groups]
        self._weights = {
            config.name: weight
            for configs, kernel in zip(groups, self.kernels, strict=True)
            for config, weight in zip(configs, kernel.split_embedding_weights(), strict=True)
        }
        optimizer = _ReplicaOptimizer(groups, self.kernels, tables.attribute)
        others = [("", sharded.fused_optimizer)] if isinstance(sharded, FusedOptimizerModule) else []
        self._optimizer = CombinedOptimizer([*others, ("", optimizer)])

    def forward(self, keyed: KeyedJaggedTensor) -> KeyedTensor | dict[str, JaggedTensor]:
        """The outputs of every table by name, as an unsharded collection gives them."""
        pending = self.sharded(_chosen(keyed, self._sharded_features)) if self.sharded is not None else None
        chosen = [_chosen(keyed, features) for features in self._features]
        rows = [
            kernel(ids.values(), ids.offsets().long(), ids.weights_or_none())
            for kernel, ids in zip(self.kernels, chosen, strict=True)
        ]
        others = pending.wait() if isinstance(pending, Awaitable) else pending
        if self._pooled:
            return self._joined(rows, others)
        found = {self._renamed[name]: value for name, value in others.items()} if others is not None else {}
        for of_group, ids, outputs in zip(rows, chosen, self._outputs, strict=True):
            found.update(_split_elements(of_group, ids, outputs))
        return found

    def _joined(self, rows: Sequence[Tensor], others: KeyedTensor | None) -> KeyedTensor:
        outputs = [pair for of_group in self._outputs for pair in of_group]
        keys, dims, parts = [name for name, _ in outputs], [dim for _, dim in outputs], list(rows)
        if others is not None:
            keys += [self._renamed[name] for name in others.keys()]  # noqa: SIM118
            dims += others.length_per_key()
            parts.append(others.values())
        return KeyedTensor(keys, dims, torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])

    @property
    def fused_optimizer(self) -> CombinedOptimizer:
        """The optimizers of all its tables, under the names of an unsharded collection."""
        return self._optimizer

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Weights under the names of an unsharded collection, so that checkpoints do not depend on the plan."""
        destination = OrderedDict() if destination is None else destination
        if self.sharded is not None:
            self.sharded.state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
        destination.update({f"{prefix}{self._attribute}.{name}.weight": w for name, w in self._weights.items()})
        return destination


class _ReplicaOptimizer(FusedOptimizer):
    """Shows replicas and their states as TorchRec's fused optimizers show shards."""

    def __init__(
        self, groups: Sequence[Sequence[BaseEmbeddingConfig]], kernels: Sequence[RowTables], attribute: str
    ) -> None:
        params: dict[str, Tensor] = {}
        state: dict[Tensor, dict[str, Tensor]] = {}
        param_groups = []
        for configs, kernel in zip(groups, kernels, strict=True):
            of_group: list[Tensor] = []
            states = kernel.get_optimizer_state() or [{}] * len(configs)
            for config, weight, own in zip(configs, kernel.split_embedding_weights(), states, strict=True):
                params[f"{attribute}.{config.name}.weight"] = weight
                # TorchRec calls the first state of any optimizer momentum1.
                keys = ["momentum1", *list(own)[1:]]
                state[weight] = {f"{config.name}.{k}": v for k, v in zip(keys, own.values(), strict=False)}
                of_group.append(weight)
            param_groups.append({"params": of_group, "lr": kernel.get_learning_rate()})
        self._kernels = kernels
        super().__init__(params, state, param_groups)

    @property
    def kernels(self) -> Sequence[RowTables]:
        """The tables it updates."""
        return self._kernels

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Hand the learning rates to the tables."""
        for group, kernel in zip(self.param_groups, self._kernels, strict=True):
            kernel.set_learning_rate(group["lr"])

    def step(self, closure: Any = None) -> None:
        """Updates happen in the backward pass."""
        self.zero_grad()


def _groups(
    configs: Sequence[BaseEmbeddingConfig], weights: Mapping[str, nn.Parameter]
) -> list[list[BaseEmbeddingConfig]]:
    """Tables that one kernel can hold, those of a width beside each other."""
    groups: dict[Any, list[BaseEmbeddingConfig]] = {}
    for config in sorted(configs, key=lambda c: c.embedding_dim):
        key = (config.data_type, *sorted((k, str(v)) for k, v in _optimizer(weights[config.name]).items()))
        groups.setdefault(key, []).append(config)
    return list(groups.values())


def copy_optimizer(source: nn.Parameter, target: nn.Parameter) -> None:
    """Attach to `target` the fused optimizer that is attached to `source`."""
    for name in ("_optimizer_classes", "_optimizer_kwargs"):
        if hasattr(source, name):
            setattr(target, name, copy.deepcopy(getattr(source, name)))


def _optimizer(weight: nn.Parameter) -> dict[str, Any]:
    """The optimizer attached to a weight, in FBGEMM's words; TorchRec itself renames lr when it meets it."""
    classes = getattr(weight, "_optimizer_classes", [])
    if not classes:
        return {}
    options = copy.copy(weight._optimizer_kwargs[0])  # type: ignore[attr-defined]
    if "lr" in options:
        options["learning_rate"] = options.pop("lr")
    return options | {"optimizer": optimizer_type_to_emb_opt_type(classes[0])}


def _make_kernel(
    configs: Sequence[BaseEmbeddingConfig], tables: Tables, device: torch.device, group: dist.ProcessGroup | None
) -> RowTables:
    features = [table for table, config in enumerate(configs) for _ in config.feature_names]
    kernel = RowTables(
        [(c.num_embeddings, c.embedding_dim, EmbeddingLocation.HOST, None) for c in configs],
        features,
        PoolingMode.SUM if tables.pooled else PoolingMode.NONE,
        SparseType.FP16 if configs[0].data_type == DataType.FP16 else SparseType.FP32,
        device,
        table_names=[c.name for c in configs],
        **_optimizer(tables.weights[configs[0].name]),
    )
    with torch.no_grad():
        for config, weight in zip(configs, kernel.split_embedding_weights(), strict=True):
            assert config.init_fn is not None, "TorchRec gives every table an init_fn"
            config.init_fn(weight)
    if group is not None:
        dist.broadcast(kernel.weights_host.data, src=0, group=group)  # ranks draw differently
        kernel.exchange = partial(_mean_over_ranks, group=group)
    return kernel


def _mean_over_ranks(
    rows_U: Tensor, gradient_UD: Tensor, height: int, group: dist.ProcessGroup
) -> tuple[Tensor, Tensor]:
    """Touched rows of all ranks and the mean of their gradients, the same bits on every rank.

    Args:
        rows_U: rows that this rank touched.
        gradient_UD: their gradients.
        height: rows that there are.
        group: the ranks.
    """
    world, dim = dist.get_world_size(group), gradient_UD.shape[1]
    counts = rows_U.new_empty(world)
    dist.all_gather_into_tensor(counts, rows_U.new_tensor([rows_U.numel()]), group=group)
    if exchanges_whole_table(int(counts.max()), height, dim, world):
        rows_U, summed_UD = _reduced(rows_U, gradient_UD, height, group)
    else:
        rows_U, summed_UD = _gathered(rows_U, gradient_UD, counts, group)
    return rows_U, summed_UD / world


def exchanges_whole_table(touched: float, height: int, dim: int, world_size: int) -> bool:
    """Whether reducing a whole table in a ring moves less than gathering the touched rows of every rank."""
    return 2 * height * (dim + 1) * 4 < world_size * touched * (dim * 4 + 8)


def _reduced(rows_U: Tensor, gradient_UD: Tensor, height: int, group: dist.ProcessGroup) -> tuple[Tensor, Tensor]:
    everything = gradient_UD.new_zeros(height, gradient_UD.shape[1] + 1)  # the last column counts ranks
    everything.index_copy_(0, rows_U, F.pad(gradient_UD, (0, 1), value=1.0))
    dist.all_reduce(everything, group=group)
    rows_U = torch.nonzero(everything[:, -1]).view(-1)
    return rows_U, everything.index_select(0, rows_U)[:, :-1]


def _gathered(rows_U: Tensor, gradient_UD: Tensor, counts: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor]:
    world, most = counts.numel(), int(counts.max())
    missing = most - rows_U.numel()
    rows = rows_U.new_empty(world * most)
    gradients = gradient_UD.new_empty(world * most, gradient_UD.shape[1])
    dist.all_gather_into_tensor(rows, F.pad(rows_U, (0, missing)), group=group)
    dist.all_gather_into_tensor(gradients, F.pad(gradient_UD, (0, 0, 0, missing)), group=group)
    real = (torch.arange(most, device=rows_U.device) < counts.unsqueeze(1)).view(-1)
    return sum_by_row(rows[real], gradients[real])


def _split_elements(rows: Tensor, ids: KeyedJaggedTensor, wanted: Sequence[tuple[str, int]]) -> dict[str, JaggedTensor]:
    parts = rows.split(ids.length_per_key())
    lengths = ids.lengths().view(len(wanted), -1)
    return {
        name: JaggedTensor(values=part, lengths=of_feature)
        for (name, _), part, of_feature in zip(wanted, parts, lengths, strict=True)
    }


def _chosen(keyed: KeyedJaggedTensor, features: Sequence[str]) -> KeyedJaggedTensor:
    keys = keyed.keys()
    return keyed if list(features) == keys else keyed.permute([keys.index(f) for f in features])


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
