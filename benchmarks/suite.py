"""Every speed that tzx states, in one run: a table on the screen, all figures in one JSON file.

python benchmarks/suite.py                       everything; half an hour on two cores
python benchmarks/suite.py --only step,loader    parts of it
python benchmarks/suite.py --check --rows 300000 ratios too, compared with those in benchmarks/ratios.json

Each part is a script of its own in a process of its own, so that memory and start-up are its own too. Ratios divide
two figures of the same run, mostly by a limit of the machine, and so carry over from one machine to the next; seconds
do not. `--check` fails when a ratio is worse than the stored one by more than its tolerance.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
RATIOS = HERE / "ratios.json"
TOLERANCE = 0.35  # two runs on a shared virtual machine differ by up to 30%
STEPS = ("deepfm", "dcn_v2", "dlrm", "din", "mmoe_taobao", "movielens")
TRAINED = (*STEPS, "deepfm_raw")
LOADED = ("hashed", "raw", "sequences")
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Part:
    """One call of a script, whose last JSON line holds the figures."""

    name: str
    words: tuple[str, ...]


def parts(rows: int) -> list[Part]:
    """What the suite runs, in order."""
    count = ("--rows", str(rows))
    return [
        Part("limits", ("limits.py", *count)),
        Part("start", ("start.py",)),
        *(Part(f"loader {case}", ("loader.py", "--case", case, *count)) for case in LOADED),
        *(Part(f"step {case}", ("step.py", "--case", case, *count)) for case in STEPS),
        *(Part(f"train {case}", ("train.py", "--case", case, *count)) for case in TRAINED),
        Part("scoring deepfm", ("scoring.py", "--case", "deepfm", *count)),
    ]


def run(part: Part, kept: Path) -> dict[str, float]:
    """The figures of a part; its output goes to the screen as it comes."""
    subprocess.run([sys.executable, str(HERE / part.words[0]), *part.words[1:], "--json", str(kept)], check=True)
    values: dict[str, float] = json.loads(kept.read_text().splitlines()[-1])["result"]
    return values


def ratios(figures: Figures) -> dict[str, float]:
    """Quotients of two figures of the same run; higher is better. Those whose parts were not run are left out."""

    def of(part: str, name: str) -> float:
        return figures[part][name]

    wanted: dict[str, Callable[[], float]] = {
        **{f"step {c}: share of GEMM limit": lambda c=c: of(f"step {c}", "share of the GEMM limit") for c in STEPS},
        **{
            f"loader {c}: share of a Parquet scan": lambda c=c: (
                of(f"loader {c}", "rows/s") / of("limits", "Parquet scan, rows/s")
            )
            for c in LOADED
        },
        **{
            f"train {c}: share of the step alone": lambda c=c: (
                of(f"train {c}", "samples/s") / of(f"step {c}", "samples/s")
            )
            for c in STEPS
        },
        "raw strings over finished ids": lambda: of("train deepfm_raw", "samples/s") / of("train deepfm", "samples/s"),
        "evaluation over training": lambda: (
            of("scoring deepfm", "evaluation, rows/s") / of("train deepfm", "samples/s")
        ),
        "prediction over training": lambda: (
            of("scoring deepfm", "prediction, rows/s") / of("train deepfm", "samples/s")
        ),
        "torchx without tzx over with": lambda: of("start", "torchx without tzx, s") / of("start", "torchx --help, s"),
    }
    found = {}
    for name, value in wanted.items():
        try:
            found[name] = value()
        except KeyError:
            continue
    return found


def table(figures: Figures, found: dict[str, float]) -> Table:
    """All figures and ratios."""
    shown = Table("part", "figure", "value")
    for part, values in figures.items():
        for name, value in values.items():
            if isinstance(value, (int, float)):
                shown.add_row(part, name, f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}")
    for name, value in found.items():
        shown.add_row("ratio", name, f"{value:.3f}")
    return shown


def worse(found: dict[str, float], stored: dict[str, dict[str, float]]) -> Iterable[str]:
    """A line for each ratio that fell below what is stored for it."""
    for name, value in found.items():
        if name in stored:
            least = stored[name]["ratio"] * (1 - stored[name]["tolerance"])
            if value < least:
                yield f"{name}: {value:.3f}, at least {least:.3f} expected"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="parts whose names begin with one of these words, comma between")
    parser.add_argument("--check", action="store_true", help="compare ratios with the stored ones")
    parser.add_argument("--store", action="store_true", help="store this run's ratios for --check")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    words = tuple(filter(None, args.only.split(",")))
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="tzx-suite-") as scratch:
        kept = Path(scratch) / "lines.json"
        for part in parts(args.rows):
            if not words or part.name.startswith(words):
                figures[part.name] = run(part, kept)
        lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    found = ratios(figures)
    Console(width=110).print(table(figures, found))
    if args.json:
        args.json.write_text(json.dumps({"parts": lines, "ratios": found}, indent=1) + "\n")
    if args.store:
        entries = {name: {"ratio": round(value, 3), "tolerance": TOLERANCE} for name, value in found.items()}
        RATIOS.write_text(json.dumps(entries, indent=1) + "\n")
    if args.check and (lost := list(worse(found, json.loads(RATIOS.read_text())))):
        sys.exit("slower than stored:\n" + "\n".join(lost))


if __name__ == "__main__":
    main()
