"""Training by turns: a process tells how long a window of steps took, and goes on when it is told to.

Processes that take turns window by window meet the same disturbances of their machine, so that quotients of their
speeds hold where the speeds themselves do not. Imports nothing heavy: it runs in every library's own interpreter.
"""

import json
import os
import sys
import time
from pathlib import Path


class Turns:
    """Counts steps and reports windows of them, as JSON lines on standard output.

    Args:
        window: steps of a turn.
        waiting: whether to wait for a line on standard input after each window.
    """

    def __init__(self, window: int, waiting: bool) -> None:
        self._window, self._waiting = window, waiting
        self._steps = 0
        self.seconds: list[float] = []
        self.cpu = 0.0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def step(self) -> None:
        """A step is done."""
        self._steps += 1
        if self._steps == 1:
            self.first_step(_age())
        if self._steps % self._window == 0:
            self.window()

    def first_step(self, seconds: float) -> None:
        """The first step is done, so many seconds after the process started."""
        self._say(first_step=seconds)

    def window(self) -> None:
        """A window is done: report it, and wait for the next turn."""
        seconds, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self.seconds.append(seconds)
        self.cpu += cpu
        self._say(seconds=seconds, cpu=cpu, peak_mib=peak_mib())
        if self._waiting:
            sys.stdin.readline()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def _say(self, **figures: float) -> None:
        if self._waiting:
            print(json.dumps(figures), flush=True)


def _age() -> float:
    """Seconds since this process started, imports included."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - started / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float:
    """Largest memory so far of this process and of those that it started, which share some of it."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return sum(_high_water(pid) for pid in (str(own), *children))


def _high_water(pid: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
