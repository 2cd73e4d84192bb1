"""Rows for the benchmarks, made once and reused while their number and seed stay the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tzx.datasets.generate import Request, generate
from tzx.datasets.prepare import SEED as SPLIT_SEED
from tzx.datasets.prepare import prepare

SEED = 1


def generated(layout: str, rows: int, test_rows: int, files: int = 1) -> Path:
    """Folder with `train` and `test` parts of a layout."""
    out = Path("data") / f"benchmark_{layout}_{rows}"
    wanted = {"rows": rows, "test_rows": test_rows, "files": files, "seed": SEED}
    note = out / "request.json"
    if note.exists() and json.loads(note.read_text()) == wanted:
        return out
    print(f"generating {rows:,} rows in {out}")
    if out.exists():
        shutil.rmtree(out)
    parts = generate(Request(layout, out, rows, test_rows, SEED, files, ("parquet",)))
    note.write_text(json.dumps(wanted))
    for part in parts:
        print(f"  {part.path}: best possible AUC {', '.join(f'{auc:.4f}' for _, auc in part.labels.values())}")
    return out


def smaller_tables(data: Path, most: int) -> Path:
    """The same rows in the Criteo layout with ids below `most`, in a folder beside them."""
    return _changed(data, str(most), lambda name, ids: ids % most if name.startswith("cat_") else ids)


def spread_ids(data: Path, column: str, size: int) -> Path:
    """The same rows with ids of a column that are drawn from [0, size), in a folder beside them."""
    random = np.random.default_rng(SEED)
    new = f"{column}_{size}"
    return _changed(data, new, lambda name, ids: random.integers(0, size, len(ids)) if name == column else ids)


def _changed(data: Path, suffix: str, change: Callable[[str, np.ndarray], np.ndarray]) -> Path:
    out = data.with_name(f"{data.name}_{suffix}")
    if not out.exists():
        scratch = out.with_name(f"{out.name}.part")
        for file in sorted(data.glob("*/*.parquet")):
            table = pq.read_table(file)
            columns = {name: change(name, table[name].to_numpy()) for name in table.column_names}
            (scratch / file.parent.name).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), scratch / file.parent.name / file.name)
        scratch.rename(out)
    return out


def prepared(name: str) -> Path:
    """Folder of a public data set, as the examples expect it."""
    out = Path("data") / name
    if not (out / "LICENSE.txt").exists():
        prepare(name, out, None, SPLIT_SEED, ("parquet",))
    return out
