"""Id maps for serving, in aten operators only: live ids sorted, a binary search, the last row for all others.

Legend: L live ids of a map, N ids of a section, F features of a section.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.embedding.dynamic.kernels import Int64
from tzx.runtime.embedding.dynamic.specs import IdMapSpec
from tzx.runtime.embedding.specs import Section
from tzx.runtime.nn.jagged import segment_ids

SECTIONS: tuple[Section, ...] = ("ids", "weighted_ids", "sequence_ids")


class PlainIds(nn.Module):
    """The forward of DynamicIds.

    Args:
        specs: one per map.
        ids: the id of each row of each map.
        counts: how often it was seen; 0 where a row has no id.
        layout: where features lie in a batch.
    """

    def __init__(
        self, specs: Sequence[IdMapSpec], ids: Sequence[Int64], counts: Sequence[np.ndarray], layout: BatchLayout
    ) -> None:
        super().__init__()
        self.layout = layout
        self.maps = nn.ModuleList(_Map(s, i, c) for s, i, c in zip(specs, ids, counts, strict=True))
        self._map_of = {name: number for number, spec in enumerate(specs) for name in spec.features}
        for section in SECTIONS:
            numbers = [self._map_of.get(name, -1) for name in getattr(layout, section)]
            self.register_buffer(f"{section}_maps", torch.tensor(numbers, dtype=torch.int64), persistent=False)

    def forward(self, batch: Batch) -> Batch:
        """The batch with rows instead of ids."""
        changed: dict[str, Any] = {s: self._section(batch, s) for s in SECTIONS if self._has_maps(s)}
        sequences = {
            name: replace(elements, values=self.maps[self._map_of[name]](elements.values))
            for name, elements in batch.sequences.items()
            if name in self._map_of
        }
        return replace(batch, has_rows=True, sequences=batch.sequences | sequences, **changed)

    def _has_maps(self, section: Section) -> bool:
        return any(name in self._map_of for name in getattr(self.layout, section))

    def _section(self, batch: Batch, section: Section) -> Jagged:
        jagged: Jagged = getattr(batch, section)
        maps_F: Tensor = getattr(self, f"{section}_maps")
        lengths_FB = jagged.lengths.view(maps_F.shape[0], batch.size)
        map_N = maps_F[segment_ids(lengths_FB.sum(1), jagged.values.shape[0])]
        values_N = jagged.values
        for number in sorted({self._map_of[n] for n in getattr(self.layout, section) if n in self._map_of}):
            values_N = torch.where(map_N == number, self.maps[number](jagged.values), values_N)
        return replace(jagged, values=values_N)


class _Map(nn.Module):
    ids: Tensor
    rows: Tensor

    def __init__(self, spec: IdMapSpec, ids: Int64, counts: np.ndarray) -> None:
        super().__init__()
        rows = np.flatnonzero(counts)
        rows = rows[np.argsort(ids[rows], kind="stable")]
        keys = ids[rows]
        if not len(rows):  # a search needs something to search in
            keys, rows = np.zeros(1, np.int64), np.full(1, spec.miss_row)
        self.miss_row = spec.miss_row
        self.register_buffer("ids", torch.from_numpy(keys))
        self.register_buffer("rows", torch.from_numpy(rows))

    def forward(self, ids_N: Tensor) -> Tensor:
        at_N = torch.searchsorted(self.ids, ids_N).clamp(max=self.ids.shape[0] - 1)
        return torch.where(self.ids[at_N] == ids_N, self.rows[at_N], self.miss_row)
