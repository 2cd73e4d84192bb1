"""Texts that a config comes from, and places in them.

A place is a span of offsets; line, column and the excerpt with its caret are worked out only when a problem is shown.
"""

import unicodedata
from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

_EXCERPT_WIDTH = 100


class Source:
    """A text with a label: a file, or one override from the command line."""

    def __init__(self, label: str, text: str, is_file: bool = True) -> None:
        self.label = label
        self.text = text
        self.is_file = is_file

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset at which each line begins."""
        starts = [0]
        find = self.text.find
        while (newline := find("\n", starts[-1])) >= 0:
            starts.append(newline + 1)
        return starts

    def line_of(self, offset: int) -> int:
        """Number of the line, counted from 1, that holds the offset."""
        return bisect_right(self.line_starts, offset)

    def column_of(self, offset: int) -> int:
        """Column, counted from 1 in characters."""
        return offset - self.line_starts[self.line_of(offset) - 1] + 1

    def line_text(self, line: int) -> str:
        """Text of a line without its line ending."""
        start = self.line_starts[line - 1]
        end = self.line_starts[line] - 1 if line < len(self.line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


class Place(NamedTuple):
    """Offsets [start, end) in a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """Line of the first character, counted from 1."""
        return self.source.line_of(self.start)

    @property
    def label(self) -> str:
        """`file:line:col`, or the override itself."""
        if not self.source.is_file:
            return self.source.label
        return f"{self.source.label}:{self.line}:{self.source.column_of(self.start)}"

    @property
    def short_label(self) -> str:
        """How a second place is named inside a message about a first one."""
        return f"line {self.line}" if self.source.is_file else self.source.label

    def excerpt(self) -> str:
        """The source line with a caret below the span; empty when there is nothing to show."""
        line = self.line
        text = self.source.line_text(line)
        start = self.start - self.source.line_starts[line - 1]
        length = max(1, min(self.end - self.start, len(text) - start))
        if not text.strip():
            return ""
        text, start = _window(text, start)
        length = max(1, min(length, len(text) - start))
        lead = "".join("\t" if char == "\t" else " " * _width(char) for char in text[:start])
        marks = "".join("~" * _width(char) for char in text[start : start + length]) or "~"
        return f"    {_printable(text)}\n    {lead}^{marks[1:]}"


def _window(text: str, start: int) -> tuple[str, int]:
    """The part of a long line around the column."""
    if len(text) <= _EXCERPT_WIDTH:
        return text, start
    left = max(0, min(start - _EXCERPT_WIDTH // 3, len(text) - _EXCERPT_WIDTH))
    return text[left : left + _EXCERPT_WIDTH], start - left


def _width(char: str) -> int:
    """Terminal columns of a character; what cannot be printed is shown as one question mark."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _printable(text: str) -> str:
    return "".join(char if char == "\t" or char.isprintable() else "?" for char in text)
