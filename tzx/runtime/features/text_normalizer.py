"""Evening out text before it is tokenized: case, width, script, special characters and spaces.

All texts of a batch are one array of code points, which goes through one table.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import arrow
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.bucketizers import has_field
from tzx.runtime.features.ragged import Bool
from tzx.runtime.features.vocabulary import read_asset
from tzx.runtime.protos import feature_pb2

CodePoints = npt.NDArray[np.uint32]
UPPER, LOWER = feature_pb2.TEXT_LOWER2UPPER, feature_pb2.TEXT_UPPER2LOWER
NARROW, SIMPLIFIED = feature_pb2.TEXT_SBC2DBC, feature_pb2.TEXT_CHT2CHS
FILTER, SPLIT, NO_SPACE = feature_pb2.TEXT_FILTER, feature_pb2.TEXT_SPLITCHRS, feature_pb2.TEXT_REMOVE_SPACE
DEFAULT = frozenset({UPPER, NARROW, SIMPLIFIED, FILTER})
# The table ends where the scripts of Unicode do; what lies behind stays as it is.
TABLE_SIZE = 0x32000
HAN = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, TABLE_SIZE))
REMOVED = 0xFFFFFFFF
SPACE = 0x20
# Unicode's general categories of punctuation, symbols and control characters.
SPECIAL = frozenset("PSC")


@dataclass(frozen=True)
class TextNormalizer:
    """What is done with each text of at most `max_length` characters (0: of any length)."""

    options: frozenset[int]
    stop_characters: str | None
    max_length: int

    def __call__(self, texts: pa.Array) -> pa.Array:
        """Normalized texts, [N] large_string without nulls."""
        points, ends = _code_points(texts)
        lengths = np.diff(ends, prepend=0)
        mapped = _mapped(points, _table(self.options, self.stop_characters))
        if self.max_length:
            mapped = np.where(np.repeat(lengths > self.max_length, lengths), points, mapped)
        keep = mapped != REMOVED
        points, ends = mapped[keep], _ends_of_kept(keep, ends)
        if SPLIT in self.options:
            # Long texts are left alone here too.
            alone = lengths > self.max_length if self.max_length else np.zeros(len(lengths), np.bool_)
            points, ends = _split_han(points, ends, alone)
        return _text(points, ends)


def make_text_normalizer(config: Any) -> TextNormalizer:
    """The normalizer that a TextNormalizer message asks for.

    Raises:
        ConfigError: options exclude each other, or a file or a package is missing.
    """
    options = frozenset(config.norm_options) or DEFAULT
    if {UPPER, LOWER} <= options:
        raise ConfigError("text_normalizer: norm_options has both TEXT_LOWER2UPPER and TEXT_UPPER2LOWER; choose one")
    stop: str | None = None
    if has_field(config, "stop_char_file"):
        try:
            content = read_asset(config.stop_char_file).decode()
        except UnicodeDecodeError:
            raise ConfigError(f"text_normalizer: stop_char_file {config.stop_char_file!r} is not UTF-8") from None
        stop = "".join(sorted(set(content) - set("\r\n")))
    normalizer = TextNormalizer(options, stop, config.max_length)
    _table(options, stop)
    return normalizer


def _code_points(texts: pa.Array) -> tuple[CodePoints, Int64]:
    """Characters of all texts, and where each text ends among them."""
    strings = arrow.strings_of(texts)
    if not len(strings):
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    first, last = int(strings.starts[0]), int(strings.ends[-1])
    data = strings.data[first:last]
    points = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), np.uint32)
    # Every byte but those that continue a character begins one.
    counts = np.zeros(len(data) + 1, np.int64)
    np.cumsum((data & 0xC0) != 0x80, out=counts[1:])
    return points, counts[strings.ends - first]


def _text(points: CodePoints, ends: Int64) -> pa.Array:
    encoded = points.tobytes().decode("utf-32-le").encode()
    sizes = np.zeros(len(points) + 1, np.int64)
    np.cumsum(1 + (points >= 0x80) + (points >= 0x800).astype(np.int64) + (points >= 0x10000), out=sizes[1:])
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = sizes[ends]
    return pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(encoded))


def _mapped(points: CodePoints, table: CodePoints) -> CodePoints:
    if not len(points) or int(points.max()) < TABLE_SIZE:
        return table[points]
    inside = points < TABLE_SIZE
    return np.where(inside, table[np.where(inside, points, 0)], points)


def _ends_of_kept(keep: Bool, ends: Int64) -> Int64:
    counts = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(keep, out=counts[1:])
    return counts[ends]


def _split_han(points: CodePoints, ends: Int64, alone: Bool) -> tuple[CodePoints, Int64]:
    """A space between a Chinese character and whatever stands beside it in its text."""
    if not len(points):
        return points, ends
    han = np.zeros(len(points), np.bool_)
    for low, high in HAN:
        han |= (points >= low) & (points < high)
    blank = points == SPACE
    before = np.zeros(len(points), np.bool_)
    before[1:] = (han[1:] | han[:-1]) & ~blank[1:] & ~blank[:-1]
    lengths = np.diff(ends, prepend=0)
    starts = ends - lengths
    before[starts[lengths > 0]] = False
    before &= ~np.repeat(alone, lengths)
    shifts = np.cumsum(before)
    out = np.full(len(points) + int(shifts[-1]), SPACE, np.uint32)
    out[np.arange(len(points)) + shifts] = points
    return out, ends + np.concatenate([np.zeros(1, np.int64), shifts])[ends]


@lru_cache(maxsize=16)
def _table(options: frozenset[int], stop_characters: str | None) -> CodePoints:
    """What every character becomes."""
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    if NARROW in options:
        table[0xFF01:0xFF5F] -= 0xFEE0
        table[0x3000] = SPACE
    if SIMPLIFIED in options:
        table = _simplified()[table]
    if UPPER in options or LOWER in options:
        table = _cased(str.upper if UPPER in options else str.lower)[table]
    gone = np.zeros(TABLE_SIZE, np.bool_)
    if FILTER in options:
        gone |= _special() if stop_characters is None else _among(stop_characters)
    if NO_SPACE in options:
        gone |= _where(str.isspace)
    table[gone[table]] = REMOVED
    return table


def _where(test: Callable[[str], bool]) -> Bool:
    return np.fromiter((test(chr(point)) for point in range(TABLE_SIZE)), np.bool_, TABLE_SIZE)


def _among(characters: str) -> Bool:
    found = np.zeros(TABLE_SIZE, np.bool_)
    points = np.array([ord(character) for character in characters], np.int64)
    found[points[points < TABLE_SIZE]] = True
    return found


@lru_cache(maxsize=1)
def _special() -> Bool:
    return _where(lambda character: unicodedata.category(character)[0] in SPECIAL and not character.isspace())


def _cased(change: Callable[[str], str]) -> CodePoints:
    """Characters in another case; those that become several, as the German sharp s, stay."""
    changed = (change(chr(point)) for point in range(TABLE_SIZE))
    points = (ord(c) if len(c) == 1 else point for point, c in enumerate(changed))
    return np.fromiter(points, np.uint32, TABLE_SIZE)


@lru_cache(maxsize=1)
def _simplified() -> CodePoints:
    """Simplified Chinese characters for traditional ones, by OpenCC, one for one."""
    try:
        import opencc
    except ImportError:
        raise ConfigError(
            "text_normalizer: TEXT_CHT2CHS (on by default) needs the package opencc; pip install 'tzx[text]', "
            "or list norm_options without it"
        ) from None
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    han = [point for low, high in HAN for point in range(low, high)]
    converted = opencc.OpenCC("t2s").convert("\n".join(map(chr, han))).split("\n")
    table[han] = [ord(to) if len(to) == 1 else point for point, to in zip(han, converted, strict=True)]
    return table
