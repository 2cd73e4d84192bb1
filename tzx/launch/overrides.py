"""What `--set` of a component means: TorchX takes a flag only once, so one value holds several overrides."""

import re

_OPEN, _CLOSE = "[{(", "]})"
_STARTS_OVERRIDE = re.compile(r"\s*[A-Za-z_][\w.\[\]:=-]*=")


def split_overrides(text: str | None) -> list[str]:
    """Splits "a.b=1,c.d=[2,3],e='x,y'" at the commas that separate overrides.

    A comma stays where it is inside brackets or quotes, and before anything that does not look like `path=`.
    """
    if not text:
        return []
    pieces: list[str] = []
    for piece in _outer_commas(text.rstrip(", ")):
        if pieces and not _STARTS_OVERRIDE.match(piece):
            pieces[-1] += f",{piece}"
        else:
            pieces.append(piece.strip())
    return [piece for piece in pieces if piece]


def _outer_commas(text: str) -> list[str]:
    pieces, depth, quote, start = [], 0, "", 0
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth = max(0, depth - 1)
        elif char == "," and depth == 0:
            pieces.append(text[start:index])
            start = index + 1
    return [*pieces, text[start:]]
