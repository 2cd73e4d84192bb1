"""Dense features that are embedded by `autodis` or `mlp` before they reach their groups.

Features that are embedded alike lie in one module, each with parameters of its own. Where a group lists them side by
side they stay together, like bags of ids (`runs.py`). Plain operators only, so serving needs no twins of them.

Legend: B rows, F features of a module, V numbers of each, D width.
"""

from collections import defaultdict
from dataclasses import dataclass

from torch import Tensor, nn

from tzx.runtime.data.batch import Batch
from tzx.runtime.embedding.runs import Neighbours, Run
from tzx.runtime.embedding.specs import Lookup
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import Feature
from tzx.runtime.nn.numeric import AutoDis, NumberProjection, positions
from tzx.runtime.protos.feature_pb2 import AutoDisEmbedding


@dataclass(frozen=True)
class _Kind:
    """What features must have in common to lie in one module."""

    dim: int
    numbers: int
    trainable: bool
    channels: int = 0  # 0: a projection
    temperature: float = 0.0
    keep: float = 0.0


class NumericPlan:
    """Collects embedded numbers group by group."""

    def __init__(self) -> None:
        self._starts: dict[_Kind, dict[Lookup, int]] = defaultdict(dict)

    def add(self, feature: Feature, start: int, suffix: str) -> Lookup:
        """Register that a group uses `feature`, whose numbers start at `start`.

        Raises:
            ConfigError: fields that make no sense.
        """
        lookup = Lookup(feature.name, f"{feature.name}_{suffix}", "sum", "dense")
        self._starts[_kind_of(feature)][lookup] = start
        return lookup

    def modules(self, neighbours: Neighbours) -> "list[EmbeddedNumbers]":
        """One module for features that are embedded alike."""
        return [EmbeddedNumbers(kind, starts, neighbours) for kind, starts in self._starts.items()]


class EmbeddedNumbers(nn.Module):
    """The numbers of several features, embedded; `forward` gives what the groups' columns are made of."""

    columns: Tensor

    def __init__(self, kind: _Kind, starts: dict[Lookup, int], neighbours: Neighbours) -> None:
        super().__init__()
        self.numbers, self.count = kind.numbers, len(starts)
        self.register_buffer("columns", positions(list(starts.values()), kind.numbers), persistent=False)
        self.runs = neighbours.runs(list(starts))
        self.embed = _make(kind, len(starts)).requires_grad_(kind.trainable)

    def forward(self, batch: Batch) -> dict[Run, Tensor]:
        """[B, sum of widths] of each run."""
        x_BFV = batch.dense.index_select(1, self.columns).unflatten(1, (self.count, self.numbers))
        embedded_BFD = self.embed(x_BFV)
        parts = embedded_BFD.split([len(run) for run in self.runs], dim=1)
        return {run: part.flatten(1) for run, part in zip(self.runs, parts, strict=True)}


def _kind_of(feature: Feature) -> _Kind:
    config = feature.config
    if feature.embedding_dim <= 0:
        raise ConfigError(f"feature {feature.name!r}: {config.WhichOneof('dense_emb')} needs embedding_dim")
    kind = _Kind(feature.embedding_dim, feature.value_dim, feature.trainable)
    if config.WhichOneof("dense_emb") == "mlp":
        return kind
    _check_autodis(feature, config.autodis)
    return _Kind(
        feature.embedding_dim,
        feature.value_dim,
        feature.trainable,
        config.autodis.num_channels,
        config.autodis.temperature,
        config.autodis.keep_prob,
    )


def _check_autodis(feature: Feature, asked: AutoDisEmbedding) -> None:
    where = f"feature {feature.name!r}: autodis"
    if feature.value_dim != 1:
        raise ConfigError(f"{where} takes one number, but value_dim is {feature.value_dim}; use mlp")
    if asked.num_channels < 1:
        raise ConfigError(f"{where} has num_channels {asked.num_channels}; allowed: 1 or more")
    if asked.temperature <= 0:
        raise ConfigError(f"{where} has temperature {asked.temperature:g}; allowed: above 0")


def _make(kind: _Kind, features: int) -> nn.Module:
    if kind.channels:
        return AutoDis(features, kind.dim, kind.channels, kind.temperature, kind.keep)
    return NumberProjection(features, kind.numbers, kind.dim)
