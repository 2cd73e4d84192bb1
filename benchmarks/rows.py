"""Rows for the benchmarks, made once and reused while their number and seed stay the same."""

import json
import shutil
from pathlib import Path

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


def prepared(name: str) -> Path:
    """Folder of a public data set, as the examples expect it."""
    out = Path("data") / name
    if not (out / "LICENSE.txt").exists():
        prepare(name, out, None, SPLIT_SEED, ("parquet",))
    return out
