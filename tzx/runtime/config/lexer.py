"""Tokens of protobuf text format, and what the escapes in its strings stand for."""

import re
import unicodedata
from typing import NamedTuple

from tzx.runtime.config.problems import Report, quoted
from tzx.runtime.config.source import Place, Source

_TOKEN = re.compile(
    r"""
      (?P<space>(?:\s+|\#[^\n]*)+)
    | (?P<word>[A-Za-z_][0-9A-Za-z_+-]*)
    | (?P<number>(?:[0-9+-]|\.[0-9])[0-9A-Za-z_.+-]*)
    | (?P<string>"[^"\n\\]*(?:\\.[^"\n\\]*)*"|'[^'\n\\]*(?:\\.[^'\n\\]*)*')
    | (?P<open>["'][^\n]*)
    | (?P<type>\[\s*[A-Za-z_][\w./-]*\s*\](?=\s*:?\s*[{<]))
    | (?P<mark>[{}<>\[\]:,;])
    | (?P<bad>[^\s{}<>\[\]:,;"'\#A-Za-z_0-9]+)
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\'\"])|(.)|$)", re.DOTALL
)
# What Chinese keyboards type for the marks of the format.
_WIDE_MARKS = dict(zip("\uff1a\uff1b\uff0c\uff5b\uff5d\uff3b\uff3d", ":;,{}[]", strict=True))
_SIMPLE = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
    b"\\": b"\\", b"'": b"'", b'"': b'"',
}  # fmt: skip


class Token(NamedTuple):
    """kind: word, number, string, open (a string that never ends), type ([a.B] before a block), mark, bad, end."""

    kind: str
    start: int
    end: int
    text: str


def tokenize(text: str, start: int = 0) -> list[Token]:
    """All tokens from an offset on, without space and comments, closed by an "end" token."""
    tokens: list[Token] = []
    append = tokens.append
    for match in _TOKEN.finditer(text, start):
        kind = match.lastgroup
        if kind != "space":
            append(Token(kind or "bad", match.start(), match.end(), match.group()))
    append(Token("end", len(text), len(text), ""))
    return tokens


def mend_marks(tokens: list[Token], source: Source, report: Report) -> tuple[list[Token], set[int]]:
    """Report characters outside the format; full-width marks are read on as their plain twins.

    Returns:
        The other tokens, and the lines on which something was reported.
    """
    mended = []
    lines = set()
    for token in tokens:
        if token.kind != "bad":
            mended.append(token)
            continue
        char = token.text[0]
        name = unicodedata.name(char, "")
        plain = _WIDE_MARKS.get(char)
        advice = f'; write "{plain}"' if plain else "; write strings in plain quotes" if "QUOTATION" in name else ""
        shown = f"{quoted(char)} ({name})" if name and not char.isascii() else quoted(token.text)
        lines.add(source.line_of(token.start))
        report.error(Place(source, token.start, token.start + 1), f"unexpected character {shown}{advice}")
        if plain and len(token.text) == 1:
            mended.append(Token("mark", token.start, token.end, plain))
    return mended, lines


def unescape(body: str) -> tuple[bytes, list[str]]:
    """Resolve C escapes.

    Args:
        body: what stands between the quotes.

    Returns:
        The bytes, and the escapes that mean nothing. Those are kept as written, as protobuf's Python reader does.
    """
    raw = body.encode("utf-8", "surrogatepass")
    if b"\\" not in raw:
        return raw, []
    unknown: list[str] = []

    def resolve(match: re.Match[bytes]) -> bytes:
        octal, hexa, short, long, simple, other = match.groups()
        if octal is not None and int(octal, 8) <= 0xFF:
            return bytes([int(octal, 8)])
        if hexa is not None:
            return bytes([int(hexa, 16)])
        if short is not None or long is not None:
            point = int(short or long, 16)
            if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
                return chr(point).encode("utf-8")
        elif simple is not None:
            return _SIMPLE[simple]
        unknown.append(match.group().decode("utf-8", "replace") if other is None or other < b"\x80" else "\\")
        return match.group()

    return _ESCAPE.sub(resolve, raw), unknown
