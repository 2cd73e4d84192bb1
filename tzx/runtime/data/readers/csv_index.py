"""Counts the rows of a CSV file in one pass over its bytes, and notes where to start reading in the middle.

Memory is bounded by the chunk read at a time; the index takes 16 bytes for some thousands of rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tzx.runtime.data.plan import Rows

CHUNK = 4 << 20
PIECE_ROWS = 16384  # a piece ends at whichever comes first
PIECE_BYTES = 8 << 20

_BOM = b"\xef\xbb\xbf"
_LINE_START, _FIELD_START, _IN_FIELD, _QUOTED = range(4)  # as in csv_quotes.py


@dataclass(frozen=True)
class CsvIndex:
    """Pieces of a file: piece i is rows `rows[i]`..`rows[i+1]` and bytes `offsets[i]`..`offsets[i+1]`."""

    header: tuple[int, int]  # bytes of the header line, without a byte order mark; empty if there is none
    rows: Rows
    offsets: Rows
    quoted: bool  # whether the file holds quotes

    @property
    def num_rows(self) -> int:
        """Rows without the header."""
        return int(self.rows[-1])


def build_index(read: Callable[[int], bytes], delimiter: str, with_header: bool) -> CsvIndex:
    """Scan a file from its start to its end; `read` returns its next bytes."""
    scanner = _Scanner(delimiter)
    marks = _Marks()
    header, first = (0, 0), None
    for offset, starts in scanner.scan(read):
        positions = starts + offset
        if with_header and header[1] == 0:
            if first is None and len(positions):
                first, positions = int(positions[0]), positions[1:]
            if first is not None and len(positions):
                header = (first, int(positions[0]))
        marks.add(positions)
    if with_header and first is not None and header[1] == 0:
        header = (first, scanner.end)
    rows, offsets = marks.finish(scanner.end)
    return CsvIndex(header, rows, offsets, scanner.quoted)


class _Scanner:
    """Finds row starts chunk by chunk, carrying over what state the text is in."""

    def __init__(self, delimiter: str) -> None:
        self.end = 0
        self.quoted = False
        self._delimiter = ord(delimiter)
        self._state = _LINE_START

    def scan(self, read: Callable[[int], bytes]) -> Iterator[tuple[int, Rows]]:
        """Offset of each chunk, and the places in it where rows start."""
        while chunk := read(max(CHUNK, len(_BOM))):
            skip = len(_BOM) if self.end == 0 and chunk.startswith(_BOM) else 0
            yield self.end + skip, self._starts(chunk[skip:])
            self.end += len(chunk)

    def _starts(self, chunk: bytes) -> Rows:
        data = np.frombuffer(chunk, np.uint8)
        if b'"' in chunk or self._state >= _QUOTED:
            self.quoted = True
            return self._quoted_starts(data)
        return self._plain_starts(data, b"\r" in chunk)

    def _quoted_starts(self, data: npt.NDArray[np.uint8]) -> Rows:
        from tzx.runtime.data.readers.csv_quotes import row_starts  # compiling it costs time, so only where needed

        out = np.empty(len(data) // 2 + 1, np.int64)
        found, self._state = row_starts(data, self._delimiter, self._state, out)
        return out[:found].copy()

    def _plain_starts(self, data: npt.NDArray[np.uint8], has_returns: bool) -> Rows:
        ends = data == 10
        if has_returns:
            ends |= data == 13
        after = np.flatnonzero(ends[:-1]) + 1
        starts = after[~ends[after]]
        if len(data) and self._state == _LINE_START and not ends[0]:
            starts = np.concatenate([[0], starts])
        if len(data):
            last = data[-1]
            self._state = _LINE_START if ends[-1] else _FIELD_START if last == self._delimiter else _IN_FIELD
        return starts


class _Marks:
    """Chooses some of the row starts as the starts of pieces."""

    def __init__(self) -> None:
        self._count = 0
        self._rows: list[int] = []
        self._offsets: list[int] = []

    def add(self, positions: Rows) -> None:
        """Take note of further row starts."""
        at = 0
        while at < len(positions):
            if self._rows:
                by_rows = self._rows[-1] + PIECE_ROWS - self._count
                by_bytes = int(np.searchsorted(positions, self._offsets[-1] + PIECE_BYTES))
                at = max(at, min(by_rows, by_bytes))
                if at >= len(positions):
                    break
            self._rows.append(self._count + at)
            self._offsets.append(int(positions[at]))
            at += 1
        self._count += len(positions)

    def finish(self, end: int) -> tuple[Rows, Rows]:
        """Rows and offsets of the pieces' starts and of the end."""
        return np.array([*self._rows, self._count], np.int64), np.array([*self._offsets, end], np.int64)
