"""The rows that results.py collects, as a table that is kept in the repository: one line for each trained model."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

# What is measured and its form; the other columns are text.
_NUMBERS: dict[str, tuple[Callable[[str], float], str]] = {
    "seed": (int, "d"),
    "auc": (float, ".6f"),
    "log_loss": (float, ".6f"),
    "samples_per_second": (float, ".0f"),
    "cpu_seconds": (float, ".1f"),
    "parameters": (int, "d"),
    "cores": (int, "d"),
    "threads": (int, "d"),
    "load_average": (float, ".1f"),
}
COLUMNS = (
    *("suite", "kind", "model", "seed", "config"),
    *("auc", "log_loss", "samples_per_second", "cpu_seconds", "parameters"),
    *("date", "cpu", "cores", "threads", "load_average"),
    *("python", "torch", "torchrec", "fbgemm-gpu-cpu", "tzx", "fuxictr"),
)


def read(path: Path) -> list[dict]:
    """Rows collected so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: _parsed(name, text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add one row, below the names of the columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        writer.writerow(
            {name: format(value, _NUMBERS[name][1]) if name in _NUMBERS else value for name, value in row.items()}
        )


def _parsed(name: str, text: str) -> object:
    return _NUMBERS[name][0](text) if name in _NUMBERS else text
