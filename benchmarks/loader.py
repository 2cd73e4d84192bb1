"""Reading speed: the loader alone, from Parquet files to batches ready for the model.

python benchmarks/loader.py                       finished ids in the Criteo layout (fg_mode FG_NONE)
python benchmarks/loader.py --case raw            raw strings: hashing and normalising (FG_DAG)
python benchmarks/loader.py --case sequences      the Taobao layout: three click histories and 19 other columns

Worker processes start anew in every pass, which takes about a second: give them a million rows or more.
The first pass warms caches and compiles kernels and is not counted; the figure is the median of `--passes` more.
"""

import argparse
import os
import resource
import statistics
import time
from pathlib import Path

from machine import facts, keep, show
from rows import generated

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CASES = {
    "hashed": ("criteo_hashed", "deepfm_criteo.config", "FG_NONE"),
    "raw": ("criteo", "deepfm_criteo.config", "FG_DAG"),
    "sequences": ("taobao", "mmoe_taobao.config", "FG_DAG"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(CASES), default="hashed")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument(
        "--num_workers", type=int, help="exactly so many, beside one thread; default: what the loader chooses"
    )
    parser.add_argument("--fg_threads", type=int, default=1, help="threads that make batches, without worker processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of the libraries")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)

    from tzx.runtime.config import load_config
    from tzx.runtime.data.loader import DataLoader, LoaderOptions
    from tzx.runtime.features import FeatureSet

    layout, path, fg_mode = CASES[args.case]
    data = generated(layout, args.rows, args.rows // 10)
    sets = [f"train_input_path={data}/train/*.parquet", f"data_config.fg_mode={fg_mode}"]
    sets.append(f"data_config.fg_threads={args.fg_threads}")
    config = load_config(str(EXAMPLES / path), sets)
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    options = LoaderOptions(batch_size=args.batch_size, num_workers=args.num_workers)

    before = facts(args.threads)
    rates, cpu_rates = [], []
    for counted in range(-1, args.passes):
        loader = DataLoader(config.data_config, features, config.train_input_path, options)
        wall, cpu = time.perf_counter(), _cpu_seconds()
        rows = sum(batch.size for batch in loader.epoch(0))
        wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
        assert rows == args.rows, f"{rows} rows read, {args.rows} written"
        if counted >= 0:
            rates.append(rows / wall)
            cpu_rates.append(rows / cpu)
    values: dict[str, object] = {
        "features": len(features.features),
        "rows/s": statistics.median(rates),
        "rows/s, slowest pass": min(rates),
        "rows per CPU second": statistics.median(cpu_rates),
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads that make batches": args.fg_threads,
        "worker processes asked for": "config" if args.num_workers is None else args.num_workers,
    }
    show("machine", before)
    show(f"loader, {args.case} ({fg_mode}): {args.rows:,} rows, batch {args.batch_size}", values)
    keep(args.json, f"loader {args.case}", before, values)


def _cpu_seconds() -> float:
    """CPU time of this process and of the worker processes that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
