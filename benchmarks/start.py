"""How long a user waits before anything happens: the start of the command line tools.

python benchmarks/start.py

Medians of `--passes` in turn, so that what disturbs the machine disturbs all alike. `torchx` without the plug-ins of
tzx is the same command with their entry points hidden.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import facts, keep, show

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_PLUGINS = """
import importlib.metadata as metadata, sys
found = metadata.entry_points
metadata.entry_points = lambda **group: metadata.EntryPoints(e for e in found(**group) if "tzx" not in e.value)
sys.argv = ["torchx", "--help"]
from torchx.cli.main import main
main()
"""
COMMANDS = {
    "torchx --help, s": ["-m", "torchx.cli.main", "--help"],
    "torchx without tzx, s": ["-c", WITHOUT_PLUGINS],
    "tzx.apps.train --help, s": ["-m", "tzx.apps.train", "--help"],
    "tzx.apps.validate, s": ["-m", "tzx.apps.validate", "examples/deepfm_criteo.config"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()
    before = facts(len(os.sched_getaffinity(0)))
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(args.passes + 1):
        for name, words in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], capture_output=True, check=True, cwd=ROOT)
            seconds[name].append(time.perf_counter() - began)
    values: dict[str, object] = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}
    show("machine", before)
    show("start", values)
    keep(args.json, "start", before, values)


if __name__ == "__main__":
    main()
