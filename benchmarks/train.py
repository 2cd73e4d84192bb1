"""Training speed from command to checkpoint: the train app as a user runs it, on generated rows.

python benchmarks/train.py                          DeepFM, 1M rows in the Criteo layout, finished ids (fg_mode FG_NONE)
python benchmarks/train.py --case deepfm_raw        raw strings, all feature work while training (FG_DAG)

Embedding 16, MLP [256, 128], batch 4096, one epoch. Samples/s is the median over windows of `--window` steps, so the
first steps and the checkpoint at the end do not blur it; the wall time of the whole command is printed beside it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from cases import CASES
from machine import facts, keep, show

_FIRST_STEP = re.compile(r"first step done ([\d.]+) s")
_WINDOW = re.compile(r"train .*step (\d+) .* ([\d,]+) samples/s  waiting for data ([\d.]+)%")


@dataclass
class Run:
    """What one training command showed."""

    command: list[str]
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    first_step_seconds: float = float("nan")
    samples_per_second: list[float] = field(default_factory=list)
    waiting_percent: list[float] = field(default_factory=list)


def train(command: list[str], threads: int | None) -> Run:
    """Run the command to its end, reading its log lines."""
    run = Run(command)
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := _FIRST_STEP.search(line):
            run.first_step_seconds = float(found.group(1))
        if found := _WINDOW.search(line):
            run.samples_per_second.append(float(found.group(2).replace(",", "")))
            run.waiting_percent.append(float(found.group(3)))
    _, status, usage = os.wait4(process.pid, 0)
    run.wall_seconds = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit("".join(lines) + "training failed")
    run.cpu_seconds = usage.ru_utime + usage.ru_stime
    run.peak_mib = usage.ru_maxrss / 1024
    return run


def result(run: Run, model_dir: Path) -> dict[str, object]:
    """The figures of a run by name."""
    metrics = json.loads((model_dir / "train_eval_result_v2.txt").read_text().splitlines()[-1])
    # The first window holds the warm-up of allocators and kernels.
    windows, waits = run.samples_per_second[1:], run.waiting_percent[1:]
    if not windows:
        sys.exit("fewer than two windows of steps: give more --rows or a smaller --window")
    return {
        "samples/s": statistics.median(windows),
        "samples/s, slowest window": min(windows),
        "samples/s, fastest window": max(windows),
        "windows": len(windows),
        "waiting for data, %": statistics.mean(waits),
        "command to first step, s": run.first_step_seconds,
        "whole command, s": run.wall_seconds,
        "CPU time, s": run.cpu_seconds,
        "peak memory, MiB": run.peak_mib,
        **{name: value for name, value in metrics.items() if name.startswith("auc")},
        "steps": metrics["global_step"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(CASES), default="deepfm")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, help="default: what the app chooses")
    parser.add_argument("--window", type=int, default=10, help="steps per window")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="K=V", help="passed on to the app")
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()

    case = CASES[args.case]
    sets = [*case.sets(args.rows), f"train_config.log_step_count_steps={args.window}", *args.sets]
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
        model_dir = Path(scratch) / "model"
        command = [sys.executable, "-m", "tzx.apps.train", "--config", case.path, "--model_dir", str(model_dir)]
        command += [word for entry in sets for word in ("--set", entry)]
        before = facts(args.threads or 0)
        run = train(command, args.threads)
        values = result(run, model_dir)
    show("machine", before)
    show(f"training, {args.case}, batch {case.batch_size}", values)
    keep(args.json, f"train {args.case}", before, values)


if __name__ == "__main__":
    main()
