"""Tables that follow the data: look-ups per second against a plain table, and memory per live id.

python benchmarks/dynamic_tables.py                    10 million live ids, 16 numbers each
python benchmarks/dynamic_tables.py --skew 1.1         ids as popular as in logs (a Zipf law) instead of equally likely

A look-up is what a batch costs from its ids to updated rows: plain, FBGEMM's forward, backward and Adagrad; dynamic,
the same behind an id map, which also counts ids, admits new ones and gives up old ones. CPU time of one thread; both
kinds take turns in one run. The plain table gets the rows of the same ids at random places, as a hash would put them.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from machine import facts, show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--batch", type=int, default=200_000, help="ids per step")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--new", type=float, default=0.01, help="share of ids of a step that were never seen before")
    parser.add_argument("--skew", type=float, default=0.0, help="exponent of the Zipf law; 0: all ids equally likely")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy as np

    machine = facts(1)
    rng = np.random.default_rng(0)
    ids = rng.integers(-(2**63), 2**63 - 1, args.ids)
    _filled(ids[:1000], 1000)  # compiles
    before = _resident()
    table, seconds = _filled(ids, args.batch)
    grown = _resident() - before
    show("machine", machine)
    show(
        f"a map for {args.ids:,} ids",
        {
            "live ids": f"{len(table):,}",
            "bytes per live id": f"{table.maps['live'].nbytes / len(table):.1f}",
            "resident memory per live id": f"{grown / len(table):.1f}",
            "ids/s while it fills": f"{args.ids / seconds:,.0f}",
        },
    )
    lookups = _measure(args, rng, ids, table)
    rate = {name: statistics.median(values) for name, values in lookups.items()}
    law = f"Zipf {args.skew:g}" if args.skew else "equally likely"
    show(
        f"look-ups per CPU second, {args.batch:,} ids a step ({law}, {args.new:.0%} new), {args.dim} numbers a row",
        {
            "plain table, trained": f"{rate['plain']:,.0f}",
            "dynamic table, trained": f"{rate['dynamic']:,.0f}",
            "dynamic / plain": f"{statistics.median(_ratios(lookups, 'dynamic', 'plain')):.2f}",
            "map alone, learning": f"{rate['map']:,.0f}",
            "plain table, read only": f"{rate['read plain']:,.0f}",
            "map alone, read only": f"{rate['read map']:,.0f}",
        },
    )
    show("the map at the end", {"live ids": f"{len(table):,}", "evicted": f"{table.tally.evicted:,}"})


def _measure(args: argparse.Namespace, rng, ids, table) -> dict[str, list[float]]:
    """Look-ups per CPU second of each step, by what was done."""
    import numpy as np

    from tzx.runtime.embedding.dynamic.id_map import NO_COUNTS

    plain, dynamic = (_fbgemm(args.ids, args.dim) for _ in range(2))
    new = int(args.batch * args.new)
    lookups: dict[str, list[float]] = {}
    for step in range(args.steps + 2):
        places = _draw(rng, args)
        batch = ids[places]
        batch[:new] = rng.integers(-(2**63), 2**63 - 1, new)
        rows = np.empty(0, np.int64)

        def learn(batch=batch, now=10_000 + step):
            nonlocal rows
            rows = table.learn(batch, NO_COUNTS, now)
            table.take_new()

        spent = {"read map": _cpu(table.find, batch), "map": _cpu(learn)}
        spent["dynamic"] = spent["map"] + _cpu(dynamic, rows, True)
        spent |= {"plain": _cpu(plain, places, True), "read plain": _cpu(plain, places, False)}
        if step >= 2:  # the first ones warm up
            for name, seconds in spent.items():
                lookups.setdefault(name, []).append(args.batch / seconds)
    return lookups


def _filled(ids, size: int):
    """An id table that has seen all ids, and the CPU seconds that this took."""
    from tzx.runtime.config.thresholds import Threshold
    from tzx.runtime.embedding.dynamic import kernels
    from tzx.runtime.embedding.dynamic.id_map import NO_COUNTS, Eviction
    from tzx.runtime.embedding.dynamic.id_table import IdTable
    from tzx.runtime.embedding.dynamic.specs import IdMapSpec

    # Buckets are not filled evenly; with 2% more rows than ids all of them find a place.
    rows = len(ids) * 51 // 50
    features = ("id",)
    lfu = Eviction(kernels.LFU)
    table = IdTable(IdMapSpec("ids", rows, lfu, 1, Threshold(), rows, None, None, features))
    seconds = 0.0
    for now, start in enumerate(range(0, len(ids), size), 1):
        seconds += _cpu(table.learn, ids[start : start + size], NO_COUNTS, now)
        table.take_new()
    return table, seconds


def _draw(rng, args: argparse.Namespace):
    if not args.skew:
        return rng.integers(0, args.ids, args.batch)
    return (rng.zipf(args.skew, args.batch) - 1) % args.ids


def _fbgemm(ids: int, dim: int) -> Callable[..., None]:
    """A function that looks rows up in an FBGEMM table of one id per bag, and trains them if asked."""
    import torch
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
    )

    spec = (ids * 51 // 50, dim, EmbeddingLocation.HOST, ComputeDevice.CPU)
    table = SplitTableBatchedEmbeddingBagsCodegen([spec], optimizer=EmbOptimType.EXACT_ADAGRAD, learning_rate=0.01)
    table.init_embedding_weights_uniform(-0.01, 0.01)

    def look_up(rows, train: bool) -> None:
        indices, offsets = torch.from_numpy(rows), torch.arange(len(rows) + 1)
        with torch.set_grad_enabled(train):
            output = table(indices, offsets)
        if train:
            output.sum().backward()

    return look_up


def _ratios(lookups: dict[str, list[float]], one: str, other: str) -> list[float]:
    return [a / b for a, b in zip(lookups[one], lookups[other], strict=True)]


def _cpu(work: Callable[..., object], *args: object) -> float:
    before = time.process_time()
    work(*args)
    return time.process_time() - before


def _resident() -> int:
    """Bytes of memory that this process uses."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
