"""Feature generation speed: every operator beside other libraries, and three whole configs.

python benchmarks/features.py                operators and whole configs, on one thread and on two
python benchmarks/features.py --only criteo  what has this in its name

Rows/s per CPU second beside rows/s of wall time, as a machine may be shared. Medians over `--passes` passes over
the same batches, in memory; the first pass compiles kernels and is not counted. Whole configs end with a ready Batch.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_NUM_THREADS"):
    os.environ[_name] = "1"  # before the libraries are imported: per operator, everything runs on one thread

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from feature_cases import CASES, Case  # noqa: E402
from machine import facts, show  # noqa: E402

from tzx.datasets.taobao import Taobao  # noqa: E402
from tzx.runtime.config import parse_text  # noqa: E402
from tzx.runtime.data.layout import BatchLayout  # noqa: E402
from tzx.runtime.data.ordered import in_order  # noqa: E402
from tzx.runtime.data.packing import pack  # noqa: E402
from tzx.runtime.features import FeatureSet  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("pandas", "polars", "pyarrow")
HEAD = """model_dir: "m" train_input_path: "t" eval_input_path: "e"
data_config { dataset_type: ParquetDataset fg_mode: FG_DAG }
"""


@dataclass
class Rate:
    """Rows per second, medians."""

    wall: float
    cpu: float


def measure(work: Callable[[Any], object], batches: list[Any], args: argparse.Namespace, threads: int = 1) -> Rate:
    """Rate of `work` over all batches, by as many threads as the loader would use."""
    rows, passes = args.rows, args.passes
    walls, cpus = [], []
    for counted in range(-1, passes):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in in_order(work, batches, threads):
            pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if counted >= 0:
            walls.append(wall)
            cpus.append(cpu)
    return Rate(rows / statistics.median(walls), rows / statistics.median(cpus))


def feature_set(text: str) -> FeatureSet:
    """Features of a config given as text."""
    config = parse_text(HEAD + text, "benchmark")
    return FeatureSet.from_config(config.feature_configs, config.data_config)


def check_same(case: Case, made: Any, wanted: Any, library: str) -> None:
    """A baseline that does other work would be no baseline."""
    values, *lengths = wanted if isinstance(wanted, tuple) else (wanted,)
    np.testing.assert_allclose(made.values.ravel(), values, rtol=1e-5, atol=1e-6, err_msg=f"{case.name}, {library}")
    for length in lengths:
        given = made.seq_lengths if hasattr(made, "seq_lengths") else made.lengths
        np.testing.assert_array_equal(given, length, err_msg=f"{case.name}, {library}")


def operators(args: argparse.Namespace) -> list[str]:
    """Print the table of operators; returns where a library is faster."""
    print(f"\noperators, batches of {args.batch_size}, one thread: 1000 rows per CPU second (wall second)")
    print(f"  {'':<32}{'tzx':>16}" + "".join(f"{name:>16}" for name in LIBRARIES))
    slower = []
    for case in CASES:
        if args.only not in case.name:
            continue
        features = feature_set(f"feature_configs {{ {case.config} }}")
        columns = case.make(np.random.default_rng(1), args.rows)
        starts = range(0, args.rows, args.batch_size)
        slices = [{name: array.slice(at, args.batch_size) for name, array in columns.items()} for at in starts]
        batches = [pa.record_batch(part) for part in slices]
        rates = {"tzx": measure(features.generate, batches, args)}
        (made,) = features.generate(batches[0]).values()
        for library, work in case.works.items():
            if case.same:
                check_same(case, made, work(slices[0]), library)
            rates[library] = measure(work, slices, args)
        cells = [_cell(rates.get(name)) for name in ("tzx", *LIBRARIES)]
        print(f"  {case.name:<32}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
        slower += [f"{case.name}: {name}" for name, rate in rates.items() if rate.cpu > rates["tzx"].cpu]
    return slower


def _cell(rate: Rate | None) -> str:
    return f"{rate.cpu / 1000:,.0f} ({rate.wall / 1000:,.0f})" if rate else "-"


# --- whole configs ---------------------------------------------------------------------------------------------------


def criteo(random: np.random.Generator, rows: int) -> tuple[str, dict[str, pa.Array]]:
    """13 numbers and 26 hashed words, all of them text, some of them missing."""
    text, columns = "", {}
    for i in range(13):
        drawn = random.geometric(0.02, rows) - 1
        columns[f"int_{i}"] = pa.array([str(x) if x % 17 else None for x in drawn.tolist()])
        options = 'normalizer: "method=log10,threshold=1,default=0"'
        text += (
            f'feature_configs {{ raw_feature {{ feature_name: "int_{i}" expression: "user:int_{i}" {options} }} }}\n'
        )
    for i in range(26):
        drawn = random.zipf(1.2, rows) % 2**32
        columns[f"cat_{i}"] = pa.array([f"{x:08x}" if x % 19 else None for x in drawn.tolist()])
        options = "hash_bucket_size: 1000000 embedding_dim: 16"
        text += f'feature_configs {{ id_feature {{ feature_name: "cat_{i}" expression: "user:cat_{i}" {options} }} }}\n'
    return HEAD + text, columns


def taobao(_: np.random.Generator, rows: int) -> tuple[str, dict[str, pa.Array]]:
    """The example's config over generated rows of its layout."""
    table = Taobao(1).chunk(0, rows).table
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    return (ROOT / "examples" / "mmoe_taobao.config").read_text(), columns


def sequence(random: np.random.Generator, rows: int) -> tuple[str, dict[str, pa.Array]]:
    """Three members of a sequence of 50 elements, as text."""
    members = (
        (
            "item",
            'id_feature { feature_name: "item" expression: "item:item" hash_bucket_size: 1000000 embedding_dim: 8 }',
        ),
        ("cate", 'id_feature { feature_name: "cate" expression: "item:cate" num_buckets: 10000 embedding_dim: 8 }'),
        ("price", 'raw_feature { feature_name: "price" expression: "item:price" }'),
    )
    text = "\n".join(f"features {{ {member} }}" for _, member in members)
    columns = {}
    for name, _ in members:
        drawn = random.integers(0, 10_000, (rows, 50)).tolist()
        columns[f"s__{name}"] = pa.array([";".join(map(str, row)) for row in drawn])
    group = f'sequence_name: "s" sequence_length: 50 sequence_delim: ";" {text}'
    return f"{HEAD} feature_configs {{ sequence_feature {{ {group} }} }}", columns


def whole_configs(args: argparse.Namespace) -> None:
    """Print rows per second of configs, on one thread and on two."""
    print(f"\nwhole configs, batches of {args.batch_size}, from columns in memory to a ready batch, rows/s")
    for name, make in (("criteo", criteo), ("taobao", taobao), ("sequence of 50", sequence)):
        if args.only not in name:
            continue
        text, columns = make(np.random.default_rng(1), args.rows)
        table = pa.record_batch(columns)
        batches = [table.slice(at, args.batch_size) for at in range(0, args.rows, args.batch_size)]
        config = parse_text(text, name)
        features = FeatureSet.from_config(config.feature_configs, config.data_config)
        work = _to_batch(features, BatchLayout.from_features(features.features))
        for threads in (1, 2):
            rate = measure(work, batches, args, threads)
            shown = f"{rate.wall:>12,.0f} of wall time {rate.cpu:>12,.0f} per CPU second"
            print(f"  {name:<16} {len(features.features):>3} features {threads} threads {shown}", flush=True)
        few = [table.slice(at, 1) for at in range(min(args.rows, 500))]
        fixed = _least(work, few) / _least(work, batches)
        print(f"  {'':<16} a batch of one row takes {fixed:.0%} of the CPU time of a full one", flush=True)


def _least(work: Callable[[Any], object], batches: list[Any]) -> float:
    """CPU seconds of the fastest batch."""
    seconds = []
    for batch in batches:
        began = time.process_time()
        work(batch)
        seconds.append(time.process_time() - began)
    return min(seconds)


def _to_batch(features: FeatureSet, layout: BatchLayout) -> Callable[[pa.RecordBatch], object]:
    return lambda batch: pack(features.generate(batch), layout, batch.num_rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--only", default="", help="what has this in its name")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    show("machine", facts(1) | {library: version(library) for library in ("pandas", "polars", "numba")})
    slower = operators(args)
    whole_configs(args)
    if slower:
        print(f"\nfaster than tzx by CPU time: {', '.join(slower)}")


if __name__ == "__main__":
    main()
