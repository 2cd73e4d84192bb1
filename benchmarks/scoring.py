"""Speed of evaluation and of prediction, of a model that was trained for a few steps.

python benchmarks/scoring.py --case deepfm

Both read the rows of the training from Parquet; prediction scores the exported bundle and writes Parquet. Rows/s counts
the whole pass over the rows without the start of the process; beside it is the training speed of the same run, without
its first steps. Files are read again and again until there are `--rows` to train on and `--scored` to score,
since what comes once, such as the loading of compiled loops, would hide what a row costs.
"""

import argparse
import glob
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import CASES
from machine import facts, keep, show
from pyarrow import parquet

_WINDOW = re.compile(r"train .*step \d+ .* ([\d,]+) samples/s")
_DONE = {
    "eval": re.compile(r"evaluated ([\d,]+) rows in ([\d.]+) s"),
    "predict": re.compile(r"([\d,]+) rows in ([\d.]+) s \("),
}


def training(*flags: object) -> float:
    """Train to the end; the median of the samples/s in its log but the first, which hold the warm-up."""
    return statistics.median(float(rate.replace(",", "")) for rate in _WINDOW.findall(app("train", *flags))[1:])


def rows_per_second(name: str, *flags: object) -> float:
    """Run an app to its end; rows/s as it says at the end of its log."""
    found = _DONE[name].search(app(name, *flags))
    assert found is not None, f"{name} did not say how long it took"
    return float(found[1].replace(",", "")) / max(float(found[2]), 1e-3)


def app(name: str, *flags: object) -> str:
    """Run an app to its end; what it wrote."""
    command = [sys.executable, "-m", f"tzx.apps.{name}", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stderr + done.stdout


def enough(paths: str, rows: int) -> str:
    """The files so often that they hold `rows` rows."""
    there = sum(parquet.ParquetFile(file).metadata.num_rows for file in glob.glob(paths))
    return ",".join([paths] * math.ceil(rows / there))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(CASES), default="deepfm")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to train on")
    parser.add_argument("--scored", type=int, default=2_000_000, help="rows to score")
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()

    case = CASES[args.case]
    before = facts(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as scratch:
        sets = [word for entry in case.sets(args.rows) for word in ("--set", entry)]
        config = ("--config", case.path, *sets, "--model_dir", f"{scratch}/model")
        given = next(entry.partition("=")[2] for entry in case.sets(args.rows) if entry.startswith("train_input"))
        trained, rows = enough(given, args.rows), enough(given, args.scored)
        once = ("--train_input_path", trained, "--set", 'eval_input_path=""', "--set", "train_config.num_epochs=1")
        values: dict[str, object] = {"training, samples/s": training(*config, *once)}
        values["evaluation, rows/s"] = rows_per_second("eval", *config, "--eval_input_path", rows)
        app("export", *config, "--export_dir", f"{scratch}/bundle")
        paths = ("--predict_input_path", rows, "--predict_output_path", f"{scratch}/predictions")
        values["prediction, rows/s"] = rows_per_second("predict", "--scripted_model_path", f"{scratch}/bundle", *paths)
    show("machine", before)
    show(f"scoring, {args.case}, {args.scored:,} rows", values)
    keep(args.json, f"scoring {args.case}", before, values)


if __name__ == "__main__":
    main()
