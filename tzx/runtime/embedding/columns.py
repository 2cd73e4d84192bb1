"""Columns of a feature group: which tensors its features give, joined in listed order.

Legend: B rows, T longest sequence of the batch, M sequence elements over all rows, D width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tzx.runtime.config.problems import hint
from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.embedding.numeric import NumericPlan
from tzx.runtime.embedding.runs import EmbeddedRows, Neighbours
from tzx.runtime.embedding.specs import Lookup, TablePlan
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.features import Feature
from tzx.runtime.nn.jagged import pad


@dataclass(frozen=True)
class Column:
    """What one feature gives to a group: a lookup, or `dim` numbers of the batch starting at `start`."""

    name: str
    dim: int
    lookup: Lookup | None = None
    start: int = 0


@dataclass(frozen=True)
class Place:
    """Where a feature is used: the group's name for messages, and what decides its tables."""

    group: str
    is_wide: bool = False
    suffix: str = ""


class ColumnFactory:
    """Makes columns of features and registers the tables that they need."""

    def __init__(self, features: Iterable[Feature], layout: BatchLayout, tables: TablePlan) -> None:
        self._features = {f.name: f for f in features}
        self._tables = tables
        self.numeric = NumericPlan()
        self.neighbours = Neighbours()
        ends = torch.tensor((0, *layout.dense_dims)).cumsum(0).tolist()
        self._dense_start = dict(zip(layout.dense, ends, strict=False))

    def feature(self, name: str, group: str) -> Feature:
        """The feature called `name`; a ConfigError names the nearest one when there is none."""
        if name not in self._features:
            raise ConfigError(f"feature group {group!r}: unknown feature {name!r}{hint(name, self._features)}")
        return self._features[name]

    def row_columns(self, names: Iterable[str], place: Place) -> "RowColumns":
        """Columns of what each row has once."""
        columns = [self._row_column(name, place) for name in names]
        self.neighbours.add([column.lookup for column in columns])
        return RowColumns(columns)

    def _row_column(self, name: str, place: Place) -> Column:
        """Column of one value or pooled row per row of the batch."""
        feature = self.feature(name, place.group)
        if feature.is_sparse:
            return self._lookup_column(feature, place, elements=False)
        if place.is_wide:
            raise ConfigError(
                f"feature group {place.group!r}: dense feature {name!r} cannot be in a WIDE group; give it boundaries"
            )
        if feature.is_sequence:
            raise ConfigError(
                f"feature group {place.group!r}: dense sequence {name!r} has no single value per row; "
                f"put it into sequence_groups or into a SEQUENCE group"
            )
        start = self._dense_start[name]
        if _is_embedded(feature):
            return Column(name, feature.embedding_dim, self.numeric.add(feature, start, place.suffix))
        return Column(name, feature.value_dim, start=start)

    def element_column(self, name: str, place: Place) -> Column:
        """Column of one value or pooled row per element of a sequence."""
        feature = self.feature(name, place.group)
        if feature.is_sparse:
            return self._lookup_column(feature, place, elements=True)
        return Column(name, feature.value_dim)

    def _lookup_column(self, feature: Feature, place: Place, elements: bool) -> Column:
        lookup = self._tables.add(feature, is_wide=place.is_wide, suffix=place.suffix, elements=elements)
        return Column(feature.name, self._tables.dim(lookup), lookup)


class RowColumns:
    """Columns with one vector per row."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.dims = {c.name: c.dim for c in columns}
        self._runs = _runs(columns)

    def tensors(self, rows: EmbeddedRows, batch: Batch) -> list[Tensor]:
        """Tensors [B, ...] in listed order, neighbouring columns as one where possible."""
        tensors: list[Tensor] = []
        for run in self._runs:
            tensors.extend([batch.dense[:, run]] if isinstance(run, slice) else rows.pieces(run))
        return tensors

    def join(self, rows: EmbeddedRows, batch: Batch) -> Tensor:
        """All columns: [B, D]."""
        return joined(self.tensors(rows, batch))


class ElementColumns:
    """Columns with one vector per element of a sequence; the first one decides how long the sequence is."""

    def __init__(self, group: str, columns: Sequence[Column]) -> None:
        self.group = group
        self.columns = tuple(columns)
        self.dims = {c.name: c.dim for c in columns}

    def lengths(self, batch: Batch) -> Tensor:
        """Elements per row, int64 [B]."""
        return batch.sequences[self.columns[0].name].seq_lengths.long()

    def padded(self, rows: EmbeddedRows, batch: Batch) -> Tensor:
        """All columns, zero beyond the end of each row: [B, T, D]."""
        positions_T = batch.sequences[self.columns[0].name].positions
        parts = [
            pad(_values(c, rows, batch), batch.sequences[c.name].seq_lengths.long(), positions_T) for c in self.columns
        ]
        return torch.cat(parts, dim=2)

    def flat(self, rows: EmbeddedRows, batch: Batch) -> Tensor:
        """All columns, row after row without padding: [M, D]."""
        parts = [_values(c, rows, batch) for c in self.columns]
        if not torch.compiler.is_compiling():
            self._check_counts(parts)
        return torch.cat(parts, dim=1)

    def _check_counts(self, parts: Sequence[Tensor]) -> None:
        for column, part in zip(self.columns, parts, strict=True):
            if part.shape[0] != parts[0].shape[0]:
                raise DataError(
                    f"feature group {self.group!r}: {column.name!r} has {part.shape[0]} elements in this batch but "
                    f"{self.columns[0].name!r} has {parts[0].shape[0]}; sequences of one group must be equally long"
                )


def _is_embedded(feature: Feature) -> bool:
    config = feature.config
    return "dense_emb" in config.DESCRIPTOR.oneofs_by_name and config.WhichOneof("dense_emb") is not None


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side, without a copy when there is only one."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=1)


def _values(column: Column, rows: EmbeddedRows, batch: Batch) -> Tensor:
    return batch.sequences[column.name].values if column.lookup is None else rows[column.lookup]


def _runs(columns: Sequence[Column]) -> list[slice | tuple[Lookup, ...]]:
    runs: list[slice | tuple[Lookup, ...]] = []
    for column in columns:
        last = runs[-1] if runs else None
        if column.lookup is not None and isinstance(last, tuple):
            runs[-1] = (*last, column.lookup)
        elif column.lookup is not None:
            runs.append((column.lookup,))
        elif isinstance(last, slice) and last.stop == column.start:
            runs[-1] = slice(last.start, column.start + column.dim)
        else:
            runs.append(slice(column.start, column.start + column.dim))
    return runs
