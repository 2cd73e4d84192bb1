"""The training step alone: forward, backward and all optimizers, on batches that are ready in memory.

python benchmarks/step.py                 DeepFM in the Criteo layout
python benchmarks/step.py --case dlrm --threads 1 --profile

Reading and logging are left out; train.py has them in. The figures are medians over rounds of ten steps, beside what
the step's matrix products alone would take at the speed that limits.py finds for them.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from cases import CASES
from limits import gemm
from machine import facts, keep, show

from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


def prepare(config: EasyRecConfig, kept: int = 20) -> tuple[Callable[[int], None], int]:
    """A function that takes some steps, and the floating-point operations of one outside tables.

    Args:
        config: what to train.
        kept: batches to read; they are used in turn.
    """
    from tzx.runtime.training.loop import TrainingLoop
    from tzx.runtime.training.process import Process
    from tzx.runtime.training.session import build_session
    from tzx.runtime.training.settings import RunSettings

    process = Process.from_env()
    process.join_group()
    session = build_session(config, process, RunSettings.from_env(1), training=True)
    loader = session.loader(config.train_input_path, "train")
    batches = list(islice(loader.epoch(0), kept))
    loop = TrainingLoop(session, loader, lambda: None)
    session.sharded.train()

    def steps(count: int) -> None:
        for i in range(count):
            loop._step(batches[i % len(batches)])

    # Two operations a weight forwards; backwards the gradients of weights and of inputs take as many each.
    weights = sum(p.numel() for o in session.dense_optimizers for _, p in o.named_parameters() if p.dim() == 2)
    return steps, 6 * weights * config.data_config.batch_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(CASES), default="deepfm")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to generate; twenty batches are read")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--profile", action="store_true", help="also print the CPU time of operations")
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    from tzx.apps.memory import keep_freed_memory
    from tzx.apps.openmp import set_wait_policy
    from tzx.runtime.config import load_config

    set_wait_policy(os.environ)
    keep_freed_memory()

    before = facts(args.threads)
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
        case = CASES[args.case]
        sets = [*case.sets(args.rows), f"model_dir={scratch}", "train_config.use_tensorboard=false"]
        steps, operations = prepare(load_config(case.path, sets))
        steps(10)
        walls, cpus = [], []
        for _ in range(args.rounds):
            wall, cpu = time.perf_counter(), time.process_time()
            steps(10)
            walls.append((time.perf_counter() - wall) / 10)
            cpus.append((time.process_time() - cpu) / 10)
        if args.profile:
            from op_times import show_op_times

            show_op_times(steps)
    limit = gemm(args.threads, 5)
    wall = statistics.median(walls)
    values = {
        "samples/s": case.batch_size / wall,
        "ms a step": 1e3 * wall,
        "CPU ms a step": 1e3 * statistics.median(cpus),
        "GFLOP in matrix products": operations / 1e9,
        "GEMM limit, GFLOP/s": limit,
        "share of the GEMM limit": operations / 1e9 / limit / wall,
    }
    show("machine", before)
    show(f"step, {args.case}, {case.batch_size:,} rows", values)
    keep(args.json, f"step {args.case}", before, values)


if __name__ == "__main__":
    main()
