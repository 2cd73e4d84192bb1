"""Facts about the machine and the versions, without which a figure says nothing, and how figures are shown and kept."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("torch", "torchrec", "fbgemm-gpu-cpu", "fbgemm-gpu", "pyarrow", "numpy", "tzx")


def facts(threads: int) -> dict[str, object]:
    """Date, processor, cores, load, commit and package versions."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 1),
        "commit": _commit(),
        "python": platform.python_version(),
        **{package: version for package in PACKAGES if (version := _version(package))},
    }


def show(title: str, values: dict[str, object]) -> None:
    """Print one block of name and value."""
    print(f"\n{title}")
    for name, value in values.items():
        print(f"  {name:<28} {_text(value)}", flush=True)


def keep(path: Path | None, case: str, machine: dict[str, object], values: dict[str, object]) -> None:
    """Append a result to a file of JSON lines, if one is wanted."""
    if path is not None:
        line = {"case": case, **machine, "command": " ".join(sys.argv), "result": values}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
