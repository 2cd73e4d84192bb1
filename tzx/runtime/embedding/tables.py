"""Embedding tables on TorchRec: the only modules through which a model touches it at run time.

Before torch.export serving replaces them by `to_plain()`, twins in plain aten operators.

* Collections always pool by sum. A mean divides afterwards: one kernel serves both, weighted means work, and no
  sharding type needs a callback of its own.
* Outputs are taken by key: the order of columns depends on how the tables are sharded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchrec import (
    EmbeddingBagCollection,
    EmbeddingBagConfig,
    EmbeddingCollection,
    EmbeddingConfig,
    JaggedTensor,
    KeyedJaggedTensor,
    KeyedTensor,
)
from torchrec.modules.embedding_configs import DataType
from torchrec.modules.embedding_modules import get_embedding_names_by_table

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.embedding.plain import PlainTables
from tzx.runtime.embedding.runs import Neighbours, Run
from tzx.runtime.embedding.specs import Lookup, Section, TableSpec
from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.initializers import Initializer, make_initializer
from tzx.runtime.nn.jagged import mean_of_sums, segment_pool

_SECTIONS: tuple[Section, ...] = ("sequence_ids", "ids", "weighted_ids")
_DATA_TYPES = {"FP32": DataType.FP32, "FP16": DataType.FP16}
_device: ContextVar[torch.device | None] = ContextVar("table_device", default=None)


@contextmanager
def table_device(device: torch.device | str) -> Iterator[None]:
    """Build tables on `device` inside this block; "meta" costs no memory where sharding allocates them anyway."""
    token = _device.set(torch.device(device))
    try:
        yield
    finally:
        _device.reset(token)


class KeyedIds(nn.Module):
    """Turns sections of a batch into the KeyedJaggedTensor of one collection, as a view where possible.

    Args:
        features: names of the features that the collection looks up.
        layout: where they lie in a batch.
        weighted: keep the weights of ids.
    """

    def __init__(self, features: Sequence[str], layout: BatchLayout, weighted: bool = False) -> None:
        super().__init__()
        wanted = set(features)
        self.sections: list[tuple[Section, list[str], list[int]]] = []
        for section in _SECTIONS:
            keys = list(getattr(layout, section))
            indices = [i for i, key in enumerate(keys) if key in wanted]
            if indices:
                self.sections.append((section, keys, indices))
        self.weighted = weighted

    def forward(self, batch: Batch) -> KeyedJaggedTensor:
        """The ids of this collection's features."""
        parts = []
        for section, keys, indices in self.sections:
            keyed = _keyed(getattr(batch, section), keys, batch.size, self.weighted)
            parts.append(keyed if len(indices) == len(keys) else keyed.permute(indices))
        return parts[0] if len(parts) == 1 else KeyedJaggedTensor.concat(parts)


class PooledTables(nn.Module):
    """Bags of plain or of weighted features, over one EmbeddingBagCollection.

    Args:
        specs: tables whose users all lie in one section of the batch.
        layout: where features lie in a batch.
        neighbours: which lookups are used side by side.
    """

    def __init__(self, specs: Sequence[TableSpec], layout: BatchLayout, neighbours: Neighbours | None = None) -> None:
        super().__init__()
        self.layout = layout
        self.specs = tuple(specs)
        self.section: Section = "weighted_ids" if specs[0].weighted else "ids"
        configs = [EmbeddingBagConfig(**_table_options(s)) for s in specs]
        self.ids = KeyedIds([n for s in specs for n in s.feature_names], layout, specs[0].weighted)
        self.collection = EmbeddingBagCollection(configs, is_weighted=specs[0].weighted, device=_device.get())
        self._lookups = {name: lookup for lookup, name in _output_names(specs, configs).items()}
        self._neighbours = neighbours or Neighbours()
        self._known: tuple[list[str], list[Run], list[int]] = [], [], []
        self._has_half = any(s.data_type == "FP16" for s in specs)
        position = {name: i for i, name in enumerate(getattr(layout, self.section))}
        self._means = [(u, position[u.feature]) for u in self._lookups.values() if u.pooling == "mean"]

    def forward(self, batch: Batch) -> dict[Run, Tensor]:
        """Pooled rows [B, sum of dims] of every run of lookups."""
        pooled = self._sums(_padded(self.ids(batch), batch.peer_size), batch.size)
        if self._means:
            lengths_FB = getattr(batch, self.section).lengths.view(-1, batch.size)
            for lookup, i in self._means:
                pooled[(lookup,)] = mean_of_sums(pooled[(lookup,)], lengths_FB[i])
        return pooled

    def to_plain(self) -> PlainTables:
        """The same lookups in aten operators; weights are copied."""
        return PlainTables(self.specs, _weights(self.collection.embedding_bags), self.layout)

    def _sums(self, keyed: KeyedJaggedTensor, size: int) -> dict[Run, Tensor]:
        if self._has_half and isinstance(self.collection, EmbeddingBagCollection):
            # Unsharded, the collection would round sums to half and refuse float weights; sharded, it sums in float.
            bags, tables = keyed.to_dict(), self.collection.embedding_bags
            weights = {u: tables[u.table].get_parameter("weight") for u in self._lookups.values()}
            return {(u,): _float_sum(weight, bags[u.feature])[:size] for u, weight in weights.items()}
        sums: KeyedTensor = self.collection(keyed)
        runs, widths = self._cut(list(sums.keys()), sums.length_per_key())
        values = sums.values() if keyed.stride() == size else sums.values()[:size]
        return dict(zip(runs, values.split(widths, dim=1), strict=True))

    def _cut(self, keys: list[str], dims: list[int]) -> tuple[list[Run], list[int]]:
        if self._known[0] != keys:  # their order follows from how the tables are sharded, so this happens once
            runs = self._neighbours.runs([self._lookups[key] for key in keys])
            ends = iter(dims)
            self._known = keys, runs, [sum(islice(ends, len(run))) for run in runs]
        return self._known[1:]


class SequenceTables(nn.Module):
    """Elements of sequences, and bags of features that share their tables, over one EmbeddingCollection.

    Args:
        specs: tables of one dim.
        layout: where features lie in a batch.
    """

    def __init__(self, specs: Sequence[TableSpec], layout: BatchLayout) -> None:
        super().__init__()
        self.layout = layout
        self.specs = tuple(specs)
        configs = [EmbeddingConfig(**_table_options(s)) for s in specs]
        self.ids = KeyedIds([n for s in specs for n in s.feature_names], layout)
        self.collection = EmbeddingCollection(configs, device=_device.get())
        self._outputs = _output_names(specs, configs)
        self._has_weights = any(u.section == "weighted_ids" for u in self._outputs)

    def forward(self, batch: Batch) -> dict[Run, Tensor]:
        """[M, dim] of every lookup of elements, [B, dim] of every lookup of bags."""
        embedded = self.collection(self.ids(batch))
        weights = self._weights_by_feature(batch) if self._has_weights else {}
        pooled: dict[Run, Tensor] = {}
        for lookup, name in self._outputs.items():
            values_ND = embedded[name].values()
            lengths = batch.sequences[lookup.feature].key_lengths if lookup.elements else embedded[name].lengths()
            assert lengths is not None, "elements of a sparse sequence come with key lengths"
            pooled[(lookup,)] = segment_pool(values_ND, lengths, lookup.pooling, weights.get(lookup.feature))
        return pooled

    def to_plain(self) -> PlainTables:
        """The same lookups in aten operators; weights are copied."""
        return PlainTables(self.specs, _weights(self.collection.embeddings), self.layout)

    def _weights_by_feature(self, batch: Batch) -> dict[str, Tensor]:
        keyed = _keyed(batch.weighted_ids, list(self.layout.weighted_ids), batch.size, weighted=True)
        return {name: jagged.weights() for name, jagged in keyed.to_dict().items()}


def _keyed(jagged: Jagged, keys: list[str], size: int, weighted: bool) -> KeyedJaggedTensor:
    return KeyedJaggedTensor(
        keys=keys,
        values=jagged.values,
        lengths=jagged.lengths,
        weights=jagged.weights if weighted else None,
        stride=size,
    )


def _padded(keyed: KeyedJaggedTensor, size: int) -> KeyedJaggedTensor:
    """With empty bags after those of the batch, up to `size` rows."""
    missing = size - keyed.stride()
    if missing <= 0:
        return keyed
    lengths_FB = keyed.lengths().view(len(keyed.keys()), keyed.stride())
    return KeyedJaggedTensor(
        keys=keyed.keys(),
        values=keyed.values(),
        lengths=F.pad(lengths_FB, (0, missing)).view(-1),
        weights=keyed.weights_or_none(),
        stride=size,
    )


def _float_sum(weight: Tensor, bag: JaggedTensor) -> Tensor:
    return segment_pool(F.embedding(bag.values(), weight).float(), bag.lengths(), "sum", bag.weights_or_none())


def _table_options(spec: TableSpec) -> dict[str, object]:
    if "." in spec.name or hasattr(nn.ModuleDict, spec.name):
        raise ConfigError(
            f"feature {spec.feature_names[0]!r}: a table cannot be named {spec.name!r}; choose another name"
        )
    return {
        "name": spec.name,
        "num_embeddings": spec.rows,
        "embedding_dim": spec.dim,
        "data_type": _DATA_TYPES[spec.data_type],
        "feature_names": list(spec.feature_names),
        "init_fn": _initializer(spec),
    }


def _initializer(spec: TableSpec) -> Initializer:
    bound = (1 / spec.rows) ** 0.5
    try:
        initialize = make_initializer(spec.init_fn or f"nn.init.uniform_,a={-bound!r},b={bound!r}")
    except ConfigError as error:
        raise ConfigError(f"feature {spec.feature_names[0]!r}: {error}") from error

    def initialize_shard(weight: Tensor) -> Tensor:
        # TorchRec also passes the empty 1-D placeholder of a table that lives on another rank.
        return initialize(weight) if weight.dim() == 2 and weight.numel() else weight

    return initialize_shard


def _output_names(
    specs: Sequence[TableSpec], configs: Sequence[EmbeddingBagConfig] | Sequence[EmbeddingConfig]
) -> dict[Lookup, str]:
    names = {}
    for spec, of_table in zip(specs, get_embedding_names_by_table(list(configs)), strict=True):
        by_feature = dict(zip(spec.feature_names, of_table, strict=True))
        names.update({lookup: by_feature[lookup.feature] for lookup in spec.lookups})
    return names


def _weights(tables: nn.ModuleDict) -> dict[str, Tensor]:
    return {name: table.get_parameter("weight").detach() for name, table in tables.items()}
