"""Tables that grow with the data, in training: maps learn from each batch, and rows start afresh with new ids.

Maps live in host memory and are asked before a batch goes to the device. A row that passes to another id gets its first
values, and its optimizer state is emptied, on whichever ranks hold parts of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torchrec.distributed.planner.types import ParameterConstraints

from tzx.runtime.data.batch import Batch
from tzx.runtime.embedding.dynamic.exchange import share_with_all
from tzx.runtime.embedding.dynamic.id_map import Part
from tzx.runtime.embedding.dynamic.id_table import Tally
from tzx.runtime.embedding.dynamic.ids import DynamicIds
from tzx.runtime.embedding.dynamic.initial import Initial, initial_rows, table_seed
from tzx.runtime.embedding.dynamic.kernels import Int64
from tzx.runtime.embedding.specs import TableSpec
from tzx.runtime.errors import ConfigError
from tzx.runtime.models.base import Model


@dataclass(frozen=True)
class Block:
    """The part of a table that lies on this rank: weights [rows, columns] from `row` and `column` on, and tensors of
    optimizer state with as many rows, each with the value it starts from."""

    weight: Tensor
    row: int
    column: int
    states: tuple[tuple[Tensor, float], ...] = ()

    def start(self, initial: Initial, seed: int, rows: Int64, ids: Int64) -> None:
        """Give rows of the table, as far as they are in this block, to ids."""
        here = np.flatnonzero((rows >= self.row) & (rows < self.row + self.weight.shape[0]))
        if not len(here):
            return
        columns = range(self.column, self.column + self.weight.shape[1])
        self._fill(rows[here], initial_rows(initial, ids[here], seed, columns))

    def set_row(self, row: int, value: float) -> None:
        """Make all numbers of a row of the table `value`, if it is in this block."""
        if self.row <= row < self.row + self.weight.shape[0]:
            self._fill(np.array([row]), torch.full((1, self.weight.shape[1]), value))

    @torch.no_grad()
    def _fill(self, rows: Int64, values: Tensor) -> None:
        places = torch.from_numpy(rows - self.row).to(self.weight.device)
        self.weight[places] = values.to(self.weight)
        for state, value in self.states:
            state[places] = value


@dataclass(frozen=True)
class FollowingTable:
    """A table whose rows an id map gives away."""

    initial: Initial
    seed: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Placing:
    """Where id maps are placed: this rank among the others, the seed, and what optimizer state starts from."""

    part: Part
    seed: int
    first_state: float = 0.0


class IdMaps:
    """The id maps of a model in training.

    Args:
        ids: the maps, placed on this rank.
        tables: by name of the map, the tables that follow it.
        part: this rank among the others.
    """

    def __init__(self, ids: DynamicIds, tables: Mapping[str, Sequence[FollowingTable]], part: Part) -> None:
        self.ids = ids
        self._tables = tables
        self.part = part
        self.set_miss_rows()

    def learn(self, batch: Batch, now: int) -> Batch:
        """The batch with rows instead of ids, before step `now`; see `DynamicIds.learn`."""
        batch = self.ids.learn(batch, now)
        new = [np.stack(table.take_new(), axis=1) for table in self.ids.tables]
        if self.part.world_size > 1:
            new = share_with_all(new, self.part)
        for spec, pairs in zip(self.ids.specs, new, strict=True):
            for table in self._tables[spec.name]:
                for block in table.blocks:
                    block.start(table.initial, table.seed, pairs[:, 0], pairs[:, 1])
        return batch

    def look_up(self, batch: Batch) -> Batch:
        """The batch with rows instead of ids, without any effect on the maps."""
        return self.ids(batch)

    def set_miss_rows(self) -> None:
        """Undo what a step has done to rows of ids without a row, where these are to stay constant."""
        for spec in self.ids.specs:
            if spec.miss is not None:
                for table in self._tables[spec.name]:
                    for block in table.blocks:
                        block.set_row(spec.miss_row, spec.miss)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Rates since the last call by map, and over all of them as "". Collective: every rank must call it."""
        counts = torch.tensor([[*astuple(t.tally), len(t)] for t in self.ids.tables])
        if self.part.world_size > 1:
            dist.all_reduce(counts)
        for table in self.ids.tables:
            table.tally = Tally()
        rows = [spec.rows - 1 for spec in self.ids.specs]
        found = {"": _rates(counts.sum(0).tolist(), sum(rows))}
        for spec, row, own in zip(self.ids.specs, rows, counts.tolist(), strict=True):
            found[spec.name] = _rates(own, row)
        return found


def _rates(counts: Sequence[int], rows: int) -> dict[str, float]:
    tally, live = Tally(*counts[:-1]), counts[-1]
    seen = max(tally.seen, 1)
    return {
        "hit_rate": tally.hits / seen,
        "miss_rate": tally.misses / seen,
        "admitted": float(tally.admitted),
        "evicted": float(tally.evicted),
        "occupancy": live / rows,
    }


def restrict(constraints: dict[str, ParameterConstraints], tables: Mapping[str, TableSpec], device: str) -> None:
    """Keep tables that follow an id map from being copied to every rank or cached, where rows could not be renewed.

    Raises:
        ConfigError: the config asks for just that.
    """
    for name, table in tables.items():
        if not table.id_map:
            continue
        asked, offered = constraints[name], constraints[name].compute_kernels
        types = [t for t in asked.sharding_types or _SHARDINGS if t in _SHARDINGS]
        # On CPU there is one kernel, whatever a config for GPUs asks for.
        kernels = None if device == "cpu" else [k for k in offered or _KERNELS if k in _KERNELS]
        if not types or kernels == []:
            what = f"sharding_types {asked.sharding_types}" if not types else f"compute_kernels {offered}"
            allowed = ", ".join(_KERNELS if types else _SHARDINGS)
            raise ConfigError(
                f"embedding_constraints of table {name!r}: {what} cannot hold a zch or dynamicemb table; use {allowed}"
            )
        asked.sharding_types, asked.compute_kernels = types, kernels


_SHARDINGS = ("table_wise", "column_wise", "row_wise", "table_row_wise", "table_column_wise", "grid_shard")
_KERNELS = ("fused", "fused_uvm")


def make_id_maps(
    model: Model, weights: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]], settings: Placing
) -> IdMaps | None:
    """The id maps of a sharded model; None when it has none.

    Args:
        model: the model, whose maps are placed on this rank.
        weights: tables as they lie on this rank, by parameter name.
        states: their optimizer state, by parameter name and name of the state.
        settings: where this is and how rows start.
    """
    groups = model.embedding_groups
    if groups.dynamic is None:
        return None
    groups.dynamic.place(settings.part, settings.seed)
    by_name = {name.split(".")[-2]: (weight, states.get(name, {})) for name, weight in weights.items()}
    following: dict[str, list[FollowingTable]] = {}
    for name, table in model.tables.items():
        if table.id_map:
            blocks = tuple(_blocks(*by_name[name], settings.first_state))
            seed = table_seed(settings.seed, name)
            following.setdefault(table.id_map, []).append(FollowingTable(groups.initials[name], seed, blocks))
    return IdMaps(groups.dynamic, following, settings.part)


def _blocks(weight: Any, states: Mapping[str, Any], first_state: float) -> Iterator[Block]:
    pieces = _pieces(weight)
    of_states = [_pieces(state) for state in states.values()]
    for number, (tensor, offsets) in enumerate(pieces):
        # Row-wise state of a table that is cut into columns has entries for each of the cuts, one piece after another.
        own = [s[number][0] for s in of_states if len(s) == len(pieces) and s[number][0].dim()]
        same = tuple((state, first_state) for state in own if state.shape[0] == tensor.shape[0])
        yield Block(tensor, offsets[0], offsets[1], same)


def _pieces(value: Any) -> list[tuple[Tensor, Sequence[int]]]:
    if hasattr(value, "local_shards"):
        return [(shard.tensor, shard.metadata.shard_offsets) for shard in value.local_shards()]
    return [(value.detach(), (0, 0))] if isinstance(value, Tensor) else []
