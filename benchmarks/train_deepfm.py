"""Training speed: DeepFM on 1M generated rows in the Criteo layout, through the train app as a user runs it.

python benchmarks/train_deepfm.py                       finished ids (fg_mode FG_NONE)
python benchmarks/train_deepfm.py --features raw        raw strings, all feature work while training (FG_DAG)

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

from machine import facts, show
from rows import generated

CONFIG = str(Path(__file__).resolve().parents[1] / "examples" / "deepfm_criteo.config")
MODES = {"hashed": ("criteo_hashed", "FG_NONE"), "raw": ("criteo", "FG_DAG")}

_FIRST_STEP = re.compile(r"first step done ([\d.]+) s")
_WINDOW = re.compile(r"step (\d+) .* ([\d,]+) samples/s  waiting for data ([\d.]+)%")


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


def train(command: list[str], threads: int) -> Run:
    """Run the command to its end, reading its log lines."""
    run = Run(command)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
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
        "samples/s, median window": f"{statistics.median(windows):,.0f}",
        "samples/s, slowest window": f"{min(windows):,.0f}",
        "samples/s, fastest window": f"{max(windows):,.0f}",
        "windows": len(windows),
        "waiting for data, mean %": round(statistics.mean(waits), 2),
        "command to first step, s": run.first_step_seconds,
        "whole command, s": round(run.wall_seconds, 1),
        "CPU time, s": round(run.cpu_seconds, 1),
        "peak memory, MiB": round(run.peak_mib),
        "test AUC": round(metrics["auc"], 4),
        "steps": metrics["global_step"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", choices=sorted(MODES), default="hashed")
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--window", type=int, default=10, help="steps per window")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="K=V", help="passed on to the app")
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()

    layout, fg_mode = MODES[args.features]
    data = generated(layout, args.rows, args.rows // 10)
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
        model_dir = Path(scratch) / "model"
        sets = [
            f"train_input_path={data}/train/*.parquet",
            f"eval_input_path={data}/test/*.parquet",
            f"data_config.fg_mode={fg_mode}",
            f"data_config.batch_size={args.batch_size}",
            f"train_config.log_step_count_steps={args.window}",
            *args.sets,
        ]
        command = [sys.executable, "-m", "tzx.apps.train", "--config", CONFIG, "--model_dir", str(model_dir)]
        command += [word for entry in sets for word in ("--set", entry)]
        before = facts(args.threads)
        run = train(command, args.threads)
        values = result(run, model_dir)
    show("machine", before)
    show(f"DeepFM, {args.rows:,} rows, batch {args.batch_size}, {fg_mode}", values)
    if args.json:
        with args.json.open("a") as file:
            file.write(json.dumps({**before, "command": " ".join(sys.argv), "result": values}) + "\n")


if __name__ == "__main__":
    main()
