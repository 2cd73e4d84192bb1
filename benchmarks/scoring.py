"""Speed of evaluation and of prediction, of a model that was trained for a few steps.

python benchmarks/scoring.py --case deepfm

Both read the test rows from Parquet; prediction scores the exported bundle and writes Parquet. Rows/s counts the whole
pass over the rows without the start of the process; the training speed of the same run is beside it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import CASES
from machine import facts, keep, show

_DONE = {
    "train": re.compile(r"trained ([\d,]+) samples in ([\d.]+) s"),
    "eval": re.compile(r"evaluated ([\d,]+) rows in ([\d.]+) s"),
    "predict": re.compile(r"([\d,]+) rows in ([\d.]+) s \("),
}


def app(name: str, *flags: object) -> float:
    """Run an app to its end; rows/s as it says at the end of its log, 0 where it says nothing."""
    command = [sys.executable, "-m", f"tzx.apps.{name}", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    found = _DONE[name].search(done.stderr + done.stdout) if name in _DONE else None
    return float(found[1].replace(",", "")) / max(float(found[2]), 1e-3) if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(CASES), default="deepfm")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to train on, and then to score")
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()

    case = CASES[args.case]
    before = facts(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
        sets = [word for entry in case.sets(args.rows) for word in ("--set", entry)]
        config = ("--config", case.path, *sets, "--model_dir", f"{scratch}/model")
        rows = next(entry.partition("=")[2] for entry in case.sets(args.rows) if entry.startswith("train_input"))
        without_eval = ("--set", 'eval_input_path=""')
        values: dict[str, object] = {"training, samples/s": app("train", *config, *without_eval)}
        values["evaluation, rows/s"] = app("eval", *config, "--eval_input_path", rows)
        app("export", *config, "--export_dir", f"{scratch}/bundle")
        paths = ("--predict_input_path", rows, "--predict_output_path", f"{scratch}/predictions")
        values["prediction, rows/s"] = app("predict", "--scripted_model_path", f"{scratch}/bundle", *paths)
    show("machine", before)
    show(f"scoring, {args.case}, {args.rows:,} rows", values)
    keep(args.json, f"scoring {args.case}", before, values)


if __name__ == "__main__":
    main()
