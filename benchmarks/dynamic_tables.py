"""Tables that follow the data: look-ups per second against a plain table, and memory per live id.

python benchmarks/dynamic_tables.py                    10 million live ids, 16 numbers each
python benchmarks/dynamic_tables.py --ids 1000000
python benchmarks/dynamic_tables.py --spare 0          a table that is full, so that ids lose their rows
python benchmarks/dynamic_tables.py --skew 1.1         ids as popular as in logs (a Zipf law) instead of equally likely

A look-up is what an id of a batch costs from id to pooled rows, one to a bag, in the loops that training uses on CPU.

* plain: the ids are rows of a table.
* dynamic: the ids are any numbers; an id map says the row of each, and copies the batch with rows in place of ids.
* read only: rows are summed. As in evaluation, nothing changes.
* trained: then backward and Adagrad. The dynamic table also counts ids, gives rows to new ones, which start afresh, and
  takes them from others when it is full.

All kinds take turns in one run. The plain table gets the rows of the same ids at random places, as a hash would put
them. One thread by CPU time, several by the clock.
"""

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import facts, show

OPTIMIZER_STATE = 0.0
WARM_UP = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--batch", type=int, default=200_000, help="ids per step")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--new", type=float, default=0.01, help="share of ids of a step that were never seen before")
    parser.add_argument("--spare", type=float, default=0.02, help="rows beyond those for the ids, as a share of these")
    parser.add_argument("--skew", type=float, default=0.0, help="exponent of the Zipf law; 0: all ids equally likely")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    machine = facts(args.threads)
    show("machine", machine)
    bench = Bench(args)
    show(f"a table for {args.ids:,} ids", bench.fill())
    law = f"Zipf {args.skew:g}" if args.skew else "equally likely"
    unit = "CPU second" if args.threads == 1 else "second"
    title = f"{args.batch:,} ids a step ({law}, {args.new:.0%} new), {args.dim} numbers a row"
    show(f"look-ups per {unit}, {title}", bench.measure())
    show("ids in these steps", bench.happened())


class Bench:
    """A plain and a dynamic table of one size."""

    def __init__(self, args: argparse.Namespace) -> None:
        import numpy as np
        import torch

        torch.set_num_threads(args.threads)
        self._args = args
        self._rng = np.random.default_rng(0)
        self._ids = self._rng.integers(-(2**63), 2**63 - 1, args.ids)
        self._rows = round(args.ids * (1 + args.spare)) + 1
        spare = _maps(args.batch + 1, _table(args.batch + 1, args.dim))
        spare.learn(_batch(spare, self._ids[: args.batch]), 1)  # compiles, and takes the memory of a batch
        self._plain, self._dynamic = (_table(self._rows, args.dim) for _ in range(2))
        self._maps = _maps(self._rows, self._dynamic)
        self._clock = time.process_time if args.threads == 1 else time.perf_counter
        self._seconds: dict[str, list[float]] = {}
        self._now = 1

    def fill(self) -> dict[str, object]:
        """Have the dynamic table learn all ids."""
        ids, size = self._ids, self._args.batch
        before, seconds = _resident(), 0.0
        for start in range(0, len(ids), size):
            seconds += self._timed(self._learn, _batch(self._maps, ids[start : start + size]))[1]
        table = self._maps.ids.tables[0]
        self._maps.metrics()
        return {
            "live ids": f"{len(table):,}",
            "bytes per live id": f"{table.maps['live'].nbytes / len(table):.1f}",
            "resident memory per live id": f"{(_resident() - before) / len(table):.1f}",
            "ids/s while it fills": f"{len(ids) / seconds:,.0f}",
        }

    def measure(self) -> dict[str, object]:
        """Look-ups per second of each kind, and of the map by itself."""
        for step in range(self._args.steps + WARM_UP):
            self._step()
            if step + 1 == WARM_UP:
                self._seconds.clear()
        rate = {name: self._args.batch / statistics.median(spent) for name, spent in self._seconds.items()}
        found: dict[str, object] = {name: f"{value:,.0f}" for name, value in rate.items()}
        for how in ("read only", "trained"):
            pairs = zip(self._seconds[f"plain table, {how}"], self._seconds[f"dynamic table, {how}"], strict=True)
            found[f"dynamic / plain, {how}"] = f"{statistics.median(a / b for a, b in pairs):.2f}"
        return found

    def happened(self) -> dict[str, object]:
        """What became of ids in the steps measured."""
        of_map = self._maps.metrics()["ids"]
        rates = {name: f"{of_map[name]:.2%}" for name in ("hit_rate", "miss_rate", "occupancy")}
        return rates | {name: f"{of_map[name]:,.0f}" for name in ("admitted", "evicted")}

    def _step(self) -> None:
        import torch

        places = self._draw()
        known = self._ids[places]
        new = int(len(places) * self._args.new)
        mixed = known.copy()
        mixed[:new] = self._rng.integers(-(2**63), 2**63 - 1, new)
        plain, known, mixed = torch.from_numpy(places), _batch(self._maps, known), _batch(self._maps, mixed)
        self._spend("plain table, read only", None, lambda: _look_up(self._plain, plain))
        of_map = self._spend("the map alone, read only", None, lambda: self._maps.look_up(known))
        self._spend("dynamic table, read only", "the map alone, read only", lambda: _look_up(self._dynamic, of_map))
        self._spend("plain table, trained", None, lambda: _train(self._plain, plain))
        of_map = self._spend("the map alone, trained", None, lambda: self._learn(mixed))
        self._spend("dynamic table, trained", "the map alone, trained", lambda: _train(self._dynamic, of_map))

    def _spend(self, name: str, first: str | None, work: Callable[[], Any]) -> Any:
        """Do and time a piece of work, which includes what was done `first`."""
        result, seconds = self._timed(work)
        self._seconds.setdefault(name, []).append(seconds + (self._seconds[first][-1] if first else 0.0))
        return result.ids.values if hasattr(result, "ids") else result

    def _timed(self, work: Callable[..., Any], *args: Any) -> tuple[Any, float]:
        before = self._clock()
        result = work(*args)
        return result, self._clock() - before

    def _learn(self, batch: Any) -> Any:
        self._now += 1
        return self._maps.learn(batch, self._now)

    def _draw(self) -> Any:
        count, size = self._args.ids, self._args.batch
        if not self._args.skew:
            return self._rng.integers(0, count, size)
        return (self._rng.zipf(self._args.skew, size) - 1) % count


def _table(rows: int, dim: int) -> Any:
    """A table as TorchRec builds it in training on CPU."""
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import PoolingMode

    from tzx.runtime.embedding.row_tables import RowTables

    adagrad = EmbOptimType.EXACT_ADAGRAD
    table = RowTables([(rows, dim, None, None)], [0], PoolingMode.SUM, optimizer=adagrad, learning_rate=0.01)
    table.weights_host.data.uniform_(-0.01, 0.01)
    table.get_optimizer_state()[0]["sum"].fill_(OPTIMIZER_STATE)  # memory is taken now
    return table


def _maps(rows: int, table: Any) -> Any:
    """An id map for a table, in training."""
    from tzx.runtime.config.thresholds import Threshold
    from tzx.runtime.data.batch import BatchLayout
    from tzx.runtime.embedding.dynamic import kernels
    from tzx.runtime.embedding.dynamic.id_map import WHOLE, Eviction
    from tzx.runtime.embedding.dynamic.ids import DynamicIds
    from tzx.runtime.embedding.dynamic.initial import initial_of_text
    from tzx.runtime.embedding.dynamic.specs import IdMapSpec
    from tzx.runtime.training.id_maps import Block, FollowingTable, IdMaps

    spec = IdMapSpec("ids", rows, Eviction(kernels.LFU), 1, Threshold(), rows, None, None, ("id",))
    state = table.get_optimizer_state()[0]["sum"]
    block = Block(table.split_embedding_weights()[0], 0, 0, ((state, OPTIMIZER_STATE),))
    following = FollowingTable(initial_of_text("", rows), 0, (block,))
    return IdMaps(DynamicIds([spec], BatchLayout(ids=("id",))), {"ids": [following]}, WHOLE)


def _batch(maps: Any, ids: Any) -> Any:
    import torch

    from tzx.runtime.data.batch import Batch, Jagged

    none = Jagged(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int32))
    values = Jagged(torch.from_numpy(ids), torch.ones(len(ids), dtype=torch.int32))
    return Batch(len(ids), maps.ids.layout, torch.zeros(len(ids), 0), values, none, none)


def _look_up(table: Any, rows: Any) -> None:
    import torch

    with torch.no_grad():
        table(rows, torch.arange(len(rows) + 1))


def _train(table: Any, rows: Any) -> None:
    import torch

    output = table(rows, torch.arange(len(rows) + 1))
    output.backward(torch.full_like(output, 1e-3))


def _resident() -> int:
    """Bytes of memory that this process uses."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free but kept for later is not used
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
