"""Embedding lookups for serving, in aten operators only: no TorchRec, no FBGEMM, every size dynamic.

* Tables of one width are stacked into one matrix, so that one embedding_bag reads all features of a section.
* Half precision tables stay half in memory; sums are taken in float32, as FBGEMM does in training.
* An id outside its table counts as id 0, as it does in training: in a stacked matrix it would hit another table.

Legend: B rows, F features of a section, N ids, M sequence elements, R stacked rows, D width.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tzx.runtime.data.batch import Batch, BatchLayout, Elements, Jagged
from tzx.runtime.embedding.runs import Run
from tzx.runtime.embedding.specs import Lookup, Section, TableSpec
from tzx.runtime.nn.jagged import mean_of_sums, segment_ids, segment_pool


class PlainTables(nn.Module):
    """The lookups of a PooledTables or SequenceTables module, with the same forward.

    Args:
        specs: the tables.
        weights: their rows [rows, dim] by table name; copied.
        layout: where features lie in a batch.
    """

    def __init__(self, specs: Sequence[TableSpec], weights: Mapping[str, Tensor], layout: BatchLayout) -> None:
        super().__init__()
        ordered = sorted(specs, key=_stack_key)
        self.stacks = nn.ModuleList(
            _Stack(list(group), weights, layout) for _, group in groupby(ordered, key=_stack_key)
        )

    def forward(self, batch: Batch) -> dict[Run, Tensor]:
        """[B, dim] of every lookup of bags, [M, dim] of every lookup of elements."""
        pooled: dict[Run, Tensor] = {}
        for stack in self.stacks:
            pooled.update(stack(batch))
        return pooled


def swap_for_serving(module: nn.Module) -> None:
    """Replace every table module inside `module` by its plain twin, in place."""
    for name, child in list(module.named_children()):
        make_twin = getattr(child, "to_plain", None)
        if callable(make_twin):
            setattr(module, name, make_twin())
        else:
            swap_for_serving(child)


class _Stack(nn.Module):
    """Tables of one width and data type in one matrix."""

    def __init__(self, specs: Sequence[TableSpec], weights: Mapping[str, Tensor], layout: BatchLayout) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.cat([weights[s.name] for s in specs]), requires_grad=False)
        starts = _starts([s.rows for s in specs])
        ranges = {s.name: (start, s.rows) for s, start in zip(specs, starts, strict=True)}
        lookups = [u for s in specs for u in s.lookups]
        self.bags = nn.ModuleList(
            _Bags(part, ranges, layout)
            for section in ("ids", "weighted_ids", "sequence_ids")
            for part in _without_repeats([u for u in lookups if not u.elements and u.section == section])
        )
        self.elements = [(u, *ranges[u.table]) for u in lookups if u.elements]

    def forward(self, batch: Batch) -> dict[Run, Tensor]:
        """Pooled rows of every lookup in these tables."""
        pooled: dict[Run, Tensor] = {}
        for bags in self.bags:
            pooled.update(bags(self.weight, batch))
        for lookup, start, rows in self.elements:
            pooled[(lookup,)] = self._embed(batch.sequences[lookup.feature], lookup.pooling, start, rows)
        return pooled

    def _embed(self, sequence: Elements, pooling: str, start: int, rows: int) -> Tensor:
        ids_N = _in_range(sequence.values, rows) + start
        assert sequence.key_lengths is not None, "elements of a sparse sequence come with key lengths"
        sums_MD = _bag_sums(self.weight, ids_N, sequence.key_lengths)
        return mean_of_sums(sums_MD, sequence.key_lengths) if pooling == "mean" else sums_MD


class _Bags(nn.Module):
    """Bags of one section of the batch; each feature is looked up once at most."""

    row_start: Tensor
    row_count: Tensor

    def __init__(self, lookups: Sequence[Lookup], ranges: Mapping[str, tuple[int, int]], layout: BatchLayout) -> None:
        super().__init__()
        self.section: Section = lookups[0].section
        names = getattr(layout, self.section)
        by_feature = {u.feature: u for u in lookups}
        self.lookups = [(by_feature[name], i) for i, name in enumerate(names) if name in by_feature]
        # Features that other tables serve read row 0 here, to keep the section in one piece; their sums are unused.
        spans = [ranges[by_feature[name].table] if name in by_feature else (0, 0) for name in names]
        self.register_buffer("row_start", torch.tensor([s for s, _ in spans]), persistent=False)
        self.register_buffer("row_count", torch.tensor([n for _, n in spans]), persistent=False)

    def forward(self, weight_RD: Tensor, batch: Batch) -> dict[Run, Tensor]:
        """Pooled rows [B, dim] of every lookup."""
        jagged: Jagged = getattr(batch, self.section)
        lengths_FB = jagged.lengths.view(self.row_start.shape[0], batch.size)
        feature_N = segment_ids(lengths_FB.sum(1), jagged.values.shape[0])
        ids_N = _in_range(jagged.values, self.row_count[feature_N]) + self.row_start[feature_N]
        sums_SD = _bag_sums(weight_RD, ids_N, jagged.lengths, jagged.weights)
        sums_FBD = sums_SD.view(self.row_start.shape[0], batch.size, weight_RD.shape[1])
        return {
            (u,): mean_of_sums(sums_FBD[i], lengths_FB[i]) if u.pooling == "mean" else sums_FBD[i]
            for u, i in self.lookups
        }


def _bag_sums(weight_RD: Tensor, ids_N: Tensor, lengths_S: Tensor, weights_N: Tensor | None = None) -> Tensor:
    if weight_RD.dtype != torch.float32:
        return segment_pool(F.embedding(ids_N, weight_RD).float(), lengths_S, "sum", weights_N)
    offsets = F.pad(lengths_S.cumsum(0), (1, 0))
    return F.embedding_bag(
        ids_N, weight_RD, offsets, mode="sum", per_sample_weights=weights_N, include_last_offset=True
    )


def _in_range(ids_N: Tensor, rows: Tensor | int) -> Tensor:
    return torch.where((ids_N >= 0) & (ids_N < rows), ids_N, 0)


def _stack_key(spec: TableSpec) -> tuple[int, str]:
    return spec.dim, spec.data_type


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:i]) for i in range(len(counts))]


def _without_repeats(lookups: Sequence[Lookup]) -> list[list[Lookup]]:
    """Split so that no feature occurs twice in a part, as it does when it has several tables of one width."""
    parts: list[list[Lookup]] = []
    for lookup in lookups:
        part = next((p for p in parts if all(u.feature != lookup.feature for u in p)), None)
        if part is None:
            parts.append([lookup])
        else:
            part.append(lookup)
    return parts
