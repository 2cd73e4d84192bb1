"""Progress of long work: one line per interval, with speed and the share of time spent waiting for data."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger("tzx")


def seconds_since_process_start() -> float:
    """Age of this process, imports included."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.process_time()  # not Linux: CPU time is a lower bound


class Progress:
    """Counts samples between log lines.

    Args:
        what: first word of each line, e.g. "train".
        scale: how many processes count at this speed.
        enabled: whether this process logs at all.
    """

    def __init__(self, what: str, scale: int = 1, enabled: bool = True) -> None:
        self._what = what
        self._scale = scale
        self._enabled = enabled
        self._samples = self._total = 0
        self._started = self._since = time.perf_counter()
        self._waited_before = 0.0
        self.waited = 0.0
        """Share of the last interval that was spent waiting for data."""

    def add(self, samples: int) -> None:
        """Count a step."""
        self._samples += samples
        self._total += samples

    def is_due(self, seconds: float = 1.0) -> bool:
        """Whether the last line is long enough ago for another to be worth reading."""
        return time.perf_counter() - self._since >= seconds

    def line(self, where: str, values: Mapping[str, float], waited: float) -> float:
        """Log one line and start the next interval; returns samples/s.

        Args:
            where: step and epoch, as text.
            values: losses, metrics and learning rates by name.
            waited: cumulative seconds spent waiting for data.
        """
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        rate = self._samples * self._scale / seconds
        self.waited = min((waited - self._waited_before) / seconds, 1.0)
        self._since, self._samples, self._waited_before = now, 0, waited
        if self._enabled:
            shown = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
            logger.info(
                "%s %s  %s  %s samples/s  waiting for data %.1f%%",
                self._what,
                where,
                shown,
                f"{rate:,.0f}",
                100 * self.waited,
            )
        return rate

    def done(self, did: str, what: str, note: str = "") -> None:
        """Log how much was done in which time: "trained 1,000 samples in 2.0 s (500 samples/s)"."""
        if self._enabled:
            total, seconds = self._total * self._scale, max(time.perf_counter() - self._started, 1e-9)
            logger.info(
                "%s %s %s in %.1f s (%s %s/s%s)",
                did,
                f"{total:,}",
                what,
                seconds,
                f"{total / seconds:,.0f}",
                what,
                note,
            )


def _short(value: float) -> str:
    return f"{value:.6g}" if abs(value) < 1e-3 and value else f"{value:.5f}"
