"""The log files of a local replica: written by the supervisor, read and followed by any process.

stdout.log and stderr.log hold what came; combined.log holds both, whole lines at a time, in the order they came.
`times` has one line for each moment of writing: unix time and the sizes of the three files before it.
"""

import bisect
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

STREAMS = ("stdout", "stderr", "combined")
_CHUNK = 1 << 16
_TICK = 0.1  # seconds between two lines of `times`
_PATIENCE = 0.5  # seconds after which an unfinished line is shown in combined.log
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)")


class ReplicaLogs:
    """Copies the two pipes of a replica to its three log files."""

    def __init__(self, folder: Path, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._names = {stdout: "stdout", stderr: "stderr"}
        self._files = {name: open(folder / f"{name}.log", "ab", buffering=0) for name in STREAMS}  # noqa: SIM115
        self._times = open(folder / "times", "ab", buffering=0)  # noqa: SIM115
        self._rest = {"stdout": b"", "stderr": b""}
        self._last_tick = 0.0
        self._last_copy = 0.0
        for stream in self._names:
            os.set_blocking(stream.fileno(), False)

    def open_streams(self) -> list[IO[bytes]]:
        """The pipes that may still bring something."""
        return [stream for stream in self._names if not stream.closed]

    def copy(self, stream: IO[bytes]) -> None:
        """Takes what the pipe has; closes it at its end."""
        try:
            data = os.read(stream.fileno(), _CHUNK)
        except BlockingIOError:
            return
        if not data:
            stream.close()
            return
        name = self._names[stream]
        self._tick()
        self._write(name, data)
        text = self._rest[name] + data
        cut = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self._write("combined", text[:cut])
        self._rest[name] = text[cut:]
        self._last_copy = time.monotonic()

    def flush(self, final: bool) -> None:
        """Shows unfinished lines in combined.log if nothing more came for a while, or for good."""
        if final or time.monotonic() - self._last_copy > _PATIENCE:
            for name, text in self._rest.items():
                self._write("combined", text + b"\n" if final and text else text)
                self._rest[name] = b""

    def note(self, text: str) -> None:
        """Adds a line of our own to combined.log."""
        self._write("combined", text.encode())

    def _write(self, name: str, data: bytes) -> None:
        if data:
            try:
                self._files[name].write(data)
            except OSError:
                # The disk is full. The replica must not block on its pipe, so the text is dropped.
                return

    def _tick(self) -> None:
        now = time.time()
        if now - self._last_tick >= _TICK:
            self._last_tick = now
            sizes = " ".join(str(os.fstat(self._files[name].fileno()).st_size) for name in STREAMS)
            self._times.write(f"{now:.3f} {sizes}\n".encode())


@dataclass(frozen=True)
class Window:
    """Which part of a log to read."""

    since: datetime | None = None
    until: datetime | None = None
    follow: bool = False


def read_lines(folder: Path, stream: str, window: Window, finished: Callable[[], bool]) -> Iterator[str]:
    """Yields lines with their ends; follows a log that still grows until `finished` says so.

    Args:
        folder: of the replica.
        stream: one of STREAMS.
        window: by time, to about a tenth of a second, and whether to follow.
        finished: whether the replica can write no more.
    """
    path = folder / f"{stream}.log"
    begin = _offset_at(folder, stream, window.since) if window.since else 0
    end = _offset_at(folder, stream, window.until) if window.until else None
    yield from (line.decode(errors="replace") for line in _raw_lines(path, begin, end, window.follow, finished))


def _raw_lines(path: Path, begin: int, end: int | None, follow: bool, finished: Callable[[], bool]) -> Iterator[bytes]:
    rest, position = b"", begin
    while True:
        over = not follow or finished()  # asked before reading, so that nothing written until then is missed
        for data in _chunks(path, position, end):
            position += len(data)
            text = rest + data
            cut = 0
            for match in _LINE.finditer(text):
                # A "\r" at the very end may be half of "\r\n".
                if match.end() == len(text) and text.endswith(b"\r"):
                    break
                cut = match.end()
                yield match.group()
            rest = text[cut:]
        if over:
            break
        if rest.endswith(b"\r"):
            yield rest
            rest = b""
        time.sleep(_TICK)
    if rest:
        yield rest if rest.endswith(b"\r") else rest + b"\n"


def _chunks(path: Path, position: int, end: int | None) -> Iterator[bytes]:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return
    with file:
        file.seek(position)
        while data := file.read(_CHUNK if end is None else max(0, min(_CHUNK, end - file.tell()))):
            yield data


def _offset_at(folder: Path, stream: str, moment: datetime) -> int:
    """Size of the log file at that moment."""
    column = 1 + STREAMS.index(stream)
    try:
        lines = [line.split() for line in (folder / "times").read_text().splitlines()]
    except FileNotFoundError:
        return 0
    rows = [line for line in lines if len(line) == 1 + len(STREAMS)]
    index = bisect.bisect_left([float(row[0]) for row in rows], moment.timestamp())
    if index < len(rows):
        return int(rows[index][column])
    return (folder / f"{stream}.log").stat().st_size
