"""How training grows: the same rows on one and two processes, larger and larger tables, and what many GPUs exchange.

python benchmarks/scaling.py processes      DeepFM, 4,096 rows a step in one process or 2,048 in each of two, in turn
python benchmarks/scaling.py tables         DeepFM with one table of 1, 10 and 100 million rows; the last takes 7 GB
python benchmarks/scaling.py paper          bytes that each of 8 to 512 GPUs sends per step, by sharding type
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cases import CASES
from machine import facts, show
from peer_cases import CASES as PEER_CASES
from rows import generated, smaller_tables, spread_ids
from train import result, train

SIZES = (1_000_000, 10_000_000, 100_000_000)
GROWN = "cat_2"
TYPES = ("table_wise", "row_wise", "table_row_wise", "column_wise", "data_parallel")
WORLDS = (8, 64, 512)
GPUS_OF_A_HOST = 8


def processes(rows: int, rounds: int) -> None:
    """Samples/s of one and of two processes, in turn, and the quotients of what followed each other."""
    case = CASES["deepfm"]
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, found in speeds.items():
            with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
                sets = [*case.sets(rows), f"data_config.batch_size={case.batch_size // count}"]
                sets.append("train_config.log_step_count_steps=10")
                start = [sys.executable, "-m"]
                if count > 1:
                    start += ["torch.distributed.run", f"--nproc_per_node={count}", "-m"]
                command = [*start, "tzx.apps.train", "--config", case.path, "--model_dir", f"{scratch}/model"]
                run = train([*command, *(word for entry in sets for word in ("--set", entry))], None)
                found.append(float(str(result(run, Path(scratch) / "model")["samples/s"])))
    quotients = [two / one for one, two in zip(speeds[1], speeds[2], strict=True)]
    names = {1: "one process, samples/s", 2: "two processes, samples/s"}
    values: dict[str, object] = {names[count]: statistics.median(found) for count, found in speeds.items()}
    show("processes", values | {"two over one": statistics.median(quotients), "of runs": rounds})


def tables(sizes: Sequence[int]) -> None:
    """Each size in a process of its own."""
    for size in sizes:
        command = [sys.executable, __file__, "table", "--sizes", str(size)]
        show(f"one table of {size:,} rows", json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))


def table(size: int) -> dict[str, float]:
    """Time of a step and memory with a table of so many rows, whose ids are drawn from all of it."""
    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    from tzx.apps.memory import keep_freed_memory
    from tzx.apps.openmp import set_wait_policy

    set_wait_policy(os.environ)
    keep_freed_memory()
    from step import prepare
    from turns import peak_mib

    config = PEER_CASES["deepfm_small"].config(500_000)
    config.train_config.sparse_optimizer.rowwise_adagrad_optimizer.lr = 0.02
    feature = next(f.id_feature for f in config.feature_configs if f.id_feature.feature_name == GROWN)
    feature.num_buckets = size
    feature.init_fn = ""
    data = spread_ids(smaller_tables(generated("criteo_hashed", 500_000, 50_000), 100_000), GROWN, size)
    config.train_input_path = f"{data}/train/*.parquet"
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
        config.model_dir = scratch
        began = time.perf_counter()
        steps, _ = prepare(config, kept=100)
        ready = time.perf_counter() - began
        steps(10)
        seconds, cpu = [], []
        for _ in range(9):
            began, used = time.perf_counter(), time.process_time()
            steps(10)
            seconds.append((time.perf_counter() - began) / 10)
            cpu.append((time.process_time() - used) / 10)
    row = 16 * 4 + 4
    return {
        "ms a step": 1e3 * statistics.median(seconds),
        "CPU ms a step": 1e3 * statistics.median(cpu),
        "table and optimizer, MiB": size * row / 2**20,
        "peak memory, MiB": peak_mib(),
        "until the first step, s": ready,
    }


def paper() -> None:
    """Bytes a GPU sends in a step, all tables of DeepFM in the Criteo layout sharded alike."""
    from tzx.runtime.config import load_config
    from tzx.runtime.training.plan_preview import preview

    print("| tables | " + " | ".join(f"{world} GPUs" for world in WORLDS) + " |\n" + "|---" * (len(WORLDS) + 1) + "|")
    dense = {}
    for kind in TYPES:
        cells = []
        for world in WORLDS:
            config = load_config(CASES["deepfm"].path)
            config.train_config.global_embedding_constraints.sharding_types[:] = [kind]
            found = preview(config, world, GPUS_OF_A_HOST, "cuda").to_json()
            dense[world] = found["dense_sent_per_step"]
            cells.append(f"{(found['sent_per_step'] - dense[world]) / 1e6:,.1f} MB")
        print(f"| {kind} | " + " | ".join(cells) + " |")
    print("| dense gradients | " + " | ".join(f"{dense[world] / 1e6:,.1f} MB" for world in WORLDS) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("processes", "tables", "table", "paper"), help="table: one size, as JSON")
    parser.add_argument("--rows", type=int, default=500_000, help="rows to train on, of `processes`")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of `processes`")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows of the table, of `tables`")
    args = parser.parse_args()
    if args.what == "table":
        print(json.dumps(table(args.sizes[0])))
        return
    if args.what == "paper":
        paper()
        return
    show("machine", facts(len(os.sched_getaffinity(0))))
    if args.what == "processes":
        processes(args.rows, args.rounds)
    else:
        tables(args.sizes)


if __name__ == "__main__":
    main()
