"""Paths of overrides: `a.b`, `a[0].b`, `a[-1]`, `a[1:3]`, `a[:]`, `a[key=value].b`, `a[key>=5].b`."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_INTEGER = re.compile(r"-?[0-9]+")
_COMPARISON = re.compile(r">=|<=|=|>|<")
_SLICE = re.compile(r"(-?[0-9]*)\s*:\s*(-?[0-9]*)")


class PathError(Exception):
    """A path that cannot be read, with the offsets of what is wrong."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


@dataclass(frozen=True)
class Selector:
    """What stands in brackets: an index, a slice, or a key with an operator and the value it is compared with."""

    start: int
    end: int
    index: int | None = None
    span: slice | None = None
    key: str = ""
    operator: str = "="
    value: str = ""


@dataclass(frozen=True)
class Step:
    """A field name with at most one selector."""

    start: int
    end: int
    name: str
    selector: Selector | None = None


def split_assignment(text: str) -> int:
    """Offset of the "=" between path and value, outside of brackets; -1 when there is none."""
    depth = 0
    for offset, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "=" and depth <= 0:
            return offset
    return -1


def parse_path(text: str, start: int, stop: int) -> list[Step]:
    """Steps of the path in text[start:stop].

    Raises:
        PathError: the path is not one of the known forms.
    """
    steps = []
    position = start
    while True:
        name = _NAME.match(text, position, stop)
        if not name:
            raise PathError("expected a field name in the path", position, min(position + 1, stop))
        position = name.end()
        selector = None
        if text[position:stop].startswith("["):
            selector = _parse_selector(text, position, stop)
            position = selector.end
        steps.append(Step(name.start(), name.end(), name.group(), selector))
        if position >= stop:
            return steps
        if text[position] != ".":
            raise PathError('expected "." or "=" in the path', position, position + 1)
        position += 1


def _parse_selector(text: str, start: int, stop: int) -> Selector:
    end = _closing(text, start, stop)
    body = text[start + 1 : end - 1].strip()
    if _INTEGER.fullmatch(body):
        return Selector(start, end, index=int(body))
    if span := _SLICE.fullmatch(body):
        low, high = (int(bound) if bound.strip("-") else None for bound in span.groups())
        return Selector(start, end, span=slice(low, high))
    for comparison in _COMPARISON.finditer(body):
        key = body[: comparison.start()]
        if key.strip() and key.count("[") == key.count("]"):
            value = _unquote(body[comparison.end() :].strip())
            return Selector(start, end, key=key.strip(), operator=comparison.group(), value=value)
    raise PathError("expected [index], [from:to], [:] or [field=value]", start, end)


def _closing(text: str, start: int, stop: int) -> int:
    depth = 0
    for offset in range(start, stop):
        depth += (text[offset] == "[") - (text[offset] == "]")
        if depth == 0:
            return offset + 1
    raise PathError('"[" without "]"', start, stop)


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
