"""Facts about the machine and the versions, without which a figure says nothing."""

import importlib.metadata
import os
import platform
import time
from pathlib import Path

PACKAGES = ("torch", "torchrec", "fbgemm-gpu-cpu", "fbgemm-gpu", "pyarrow", "numpy", "tzx")


def facts(threads: int) -> dict[str, object]:
    """Date, processor, cores, load and package versions."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: version for package in PACKAGES if (version := _version(package))},
    }


def show(title: str, values: dict[str, object]) -> None:
    """Print one block of name and value."""
    print(f"\n{title}")
    for name, value in values.items():
        print(f"  {name:<28} {value}")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
