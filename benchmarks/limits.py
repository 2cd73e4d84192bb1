"""What this machine can do at best, so that other figures can be read as shares of it.

python benchmarks/limits.py

* GEMM: float32 matrix products of the size of a first layer, in GFLOP/s, on one thread and on all.
* copy: reading and writing large buffers, GB of both a second.
* gather: rows of 64 bytes from a table of 512 MB, at random places, rows a second: what a table lookup costs at least.
* Parquet: a scan of generated rows (13 floats, 26 ids) into Arrow, rows a second on one thread.

Each figure is the best of `--passes`: what disturbs a run only makes it slower.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from machine import facts, keep, show
from rows import generated

ROWS, WIDTH, UNITS = 4096, 429, 256
MEGABYTE = 1 << 20


def best(work: Callable[[], object], passes: int) -> float:
    """Seconds of the fastest of some passes, after one that is not counted."""
    seconds = []
    for _ in range(passes + 1):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def gemm(threads: int, passes: int) -> float:
    """GFLOP/s."""
    import torch

    torch.set_num_threads(threads)
    x, weight, out = torch.randn(ROWS, WIDTH), torch.randn(WIDTH, UNITS), torch.empty(ROWS, UNITS)
    return 20 * 2e-9 * ROWS * WIDTH * UNITS / best(lambda: [torch.mm(x, weight, out=out) for _ in range(20)], passes)


def copy(passes: int) -> float:
    """GB/s, counting what is read and what is written."""
    import torch

    torch.set_num_threads(1)
    source, target = torch.ones(64 * MEGABYTE), torch.empty(64 * MEGABYTE)
    return 2 * source.nbytes / 1e9 / best(lambda: target.copy_(source), passes)


def gather(passes: int) -> float:
    """Rows/s."""
    import torch

    torch.set_num_threads(1)
    table = torch.ones(8 * MEGABYTE, 16)
    rows = torch.randint(0, len(table), (MEGABYTE,))
    out = torch.empty(MEGABYTE, 16)
    return MEGABYTE / best(lambda: torch.index_select(table, 0, rows, out=out), passes)


def parquet(rows: int, passes: int) -> float:
    """Rows/s."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    pa.set_cpu_count(1)
    files = ds.dataset(generated("criteo_hashed", rows, rows // 10) / "train")
    return rows / best(lambda: sum(b.num_rows for b in files.scanner(use_threads=False).to_batches()), passes)


def measure(rows: int, passes: int) -> dict[str, object]:
    """All limits by name."""
    cores = len(os.sched_getaffinity(0))
    return {
        "GEMM, one thread, GFLOP/s": gemm(1, passes),
        "GEMM, all threads, GFLOP/s": gemm(cores, passes),
        "copy, GB/s": copy(passes),
        "gather of 64 bytes, rows/s": gather(passes),
        "Parquet scan, rows/s": parquet(rows, passes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()
    before = facts(len(os.sched_getaffinity(0)))
    values = measure(args.rows, args.passes)
    show("machine", before)
    show("limits", values)
    keep(args.json, "limits", before, values)


if __name__ == "__main__":
    main()
