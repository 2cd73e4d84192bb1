"""The module that turns ids of a batch into rows, before any table is looked up.

A feature's ids are mapped once, however many tables it is looked up in: tables of one embedding name share a map.
Training maps batches ahead with `learn`, on the host, where the maps live; whatever else reaches `forward` is looked up
without any effect.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.embedding.dynamic import kernels
from tzx.runtime.embedding.dynamic.exchange import Question, ask_owners
from tzx.runtime.embedding.dynamic.id_map import NO_COUNTS, WHOLE, Part, owners
from tzx.runtime.embedding.dynamic.id_table import LIVE, IdTable
from tzx.runtime.embedding.dynamic.kernels import Int64
from tzx.runtime.embedding.dynamic.plain import SECTIONS, PlainIds
from tzx.runtime.embedding.dynamic.specs import IdMapSpec
from tzx.runtime.embedding.specs import Section


class DynamicIds(nn.Module):
    """All id maps of a model.

    Args:
        specs: one per map.
        layout: where features lie in a batch.
    """

    def __init__(self, specs: Sequence[IdMapSpec], layout: BatchLayout) -> None:
        super().__init__()
        self.specs = tuple(specs)
        self.layout = layout
        self._part, self._seed = WHOLE, 0
        self._tables: list[IdTable] = []
        self._places = [[(s, i) for s in SECTIONS for i in _places(getattr(layout, s), spec)] for spec in specs]

    def place(self, part: Part, seed: int) -> None:
        """Hold only this process's share of every map. To be called before anything else, if at all."""
        self._part, self._seed, self._tables = part, seed, []

    @property
    def tables(self) -> list[IdTable]:
        """This process's share of every map; memory is taken when they are first asked for."""
        if not self._tables:
            self._tables = [IdTable(spec, self._part, self._seed) for spec in self.specs]
        return self._tables

    def forward(self, batch: Batch) -> Batch:
        """The batch with rows instead of ids; one that has rows already is left as it is."""
        return batch if batch.has_rows else self._mapped(batch, None)

    def learn(self, batch: Batch, now: int) -> Batch:
        """Like `forward`, and ids are counted, admitted and evicted; all ranks call this together.

        Args:
            batch: a batch in host memory.
            now: a number that rises from step to step.
        """
        return self._mapped(batch, now)

    def to_plain(self) -> PlainIds:
        """The same look-ups in aten operators; ids and rows are copied."""
        states = [table.maps[LIVE].state() for table in self.tables]
        return PlainIds(self.specs, [s["ids"] for s in states], [s["counts"] for s in states], self.layout)

    def __deepcopy__(self, memo: dict[int, Any]) -> "DynamicIds":
        # Maps are large; a copy of a model is made to be taken apart, and shares them.
        other = DynamicIds(self.specs, deepcopy(self.layout, memo))
        other._part, other._seed, other._tables = self._part, self._seed, self.tables
        return other

    def _mapped(self, batch: Batch, now: int | None) -> Batch:
        values = {s: getattr(batch, s).values for s in SECTIONS}
        on_host = {s: v.cpu().numpy() for s, v in values.items()}
        ends = {s: _ends(getattr(batch, s), len(getattr(self.layout, s)), batch.size) for s in SECTIONS}
        ids = [np.concatenate([on_host[s][_slice(ends[s], i)] for s, i in places]) for places in self._places]
        rows = self._rows_alone(ids, now) if self._part.world_size == 1 else self._rows(ids, now)
        mapped = {s: on_host[s].copy() for s in {s for places in self._places for s, _ in places}}
        for places, of_map in zip(self._places, rows, strict=True):
            start = 0
            for section, i in places:
                where = _slice(ends[section], i)
                mapped[section][where] = of_map[start : start + where.stop - where.start]
                start += where.stop - where.start
        return _with_rows(batch, {s: _like(v, values[s]) for s, v in mapped.items()}, ends["sequence_ids"])

    def _rows_alone(self, ids: Sequence[Int64], now: int | None) -> list[Int64]:
        return [
            table.find(of_map) if now is None else table.learn(of_map, NO_COUNTS, now)
            for table, of_map in zip(self.tables, ids, strict=True)
        ]

    def _rows(self, ids: Sequence[Int64], now: int | None) -> list[Int64]:
        different = [kernels.distinct(of_map, NO_COUNTS) for of_map in ids]
        questions = [
            Question(unique, totals, owners(unique, spec.rows - 1, self._part.world_size))
            for spec, (unique, totals, _) in zip(self.specs, different, strict=True)
        ]

        def answer(number: int, asked: Int64, counts: Int64) -> Int64:
            table = self.tables[number]
            return table.find(asked) if now is None else table.learn(asked, counts, now)

        rows = ask_owners(questions, answer, self._part)
        return [of_map[places] for of_map, (_, _, places) in zip(rows, different, strict=True)]


def _places(names: Iterable[str], spec: IdMapSpec) -> list[int]:
    return [i for i, name in enumerate(names) if name in spec.features]


def _ends(jagged: Jagged, features: int, size: int) -> Int64:
    return jagged.lengths.view(features, size).sum(1).cumsum(0).cpu().numpy()


def _slice(ends: Int64, i: int) -> slice:
    return slice(int(ends[i - 1]) if i else 0, int(ends[i]))


def _like(values: np.ndarray, original: Tensor) -> Tensor:
    tensor = torch.from_numpy(values)
    return tensor.pin_memory() if original.is_pinned() else tensor.to(original.device)


def _with_rows(batch: Batch, values: dict[Section, Tensor], ends: Int64) -> Batch:
    changed: dict[str, Any] = {s: replace(getattr(batch, s), values=v) for s, v in values.items()}
    if "sequence_ids" in values:
        sequences = {
            name: replace(batch.sequences[name], values=values["sequence_ids"][_slice(ends, i)])
            for i, name in enumerate(batch.layout.sequence_ids)
        }
        changed["sequences"] = batch.sequences | sequences
    return replace(batch, has_rows=True, **changed)
