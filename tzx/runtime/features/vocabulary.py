"""Words and the indices they get: vocab_list, vocab_dict and vocab_file in one form."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import join
from pathlib import Path

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.ragged import Bool, Strings

OUT_OF_VOCABULARY = "<OOV>"
MOST_ROWS = 2**63 - 1
WORD_AND_INDEX = re.compile(rb"(.*)[ \t](\d+)", re.DOTALL)


@dataclass(frozen=True)
class Vocabulary:
    """`words` with their `indices`; any other word gets `unknown`. `rows` is what an embedding table needs."""

    words: tuple[bytes, ...]
    indices: tuple[int, ...]
    unknown: int
    rows: int

    @cached_property
    def _compiled(self) -> tuple[Int64, Strings, Int64, Int64]:
        """Hash table, the words, their offsets and the index of every word, `unknown` last."""
        from tzx.runtime.features.kernels import hashing

        words = Strings.of(self.words)
        offsets = np.append(words.starts, words.ends[-1] if len(words) else 0)
        size = 1 << max(3, (2 * len(self.words)).bit_length())
        table = hashing.build_table(words.data, offsets, size)
        return table, words, offsets, np.array([*self.indices, self.unknown], np.int64)

    def look_up(self, strings: Strings) -> Int64:
        """Index of every string, [N]."""
        return self._compiled[-1][self._places(strings)]

    def knows(self, strings: Strings) -> Bool:
        """Which strings are words of the vocabulary, [N]."""
        return self._places(strings) >= 0

    def _places(self, strings: Strings) -> Int64:
        """Number of every string among the words, -1 for none."""
        from tzx.runtime.features.kernels import hashing

        table, words, offsets, _ = self._compiled
        return hashing.look_up(table, words.data, offsets, strings.data, strings.starts, strings.ends)


def _vocabulary(pairs: Iterable[tuple[str | bytes, int]], unknown: int, rows: int) -> Vocabulary:
    last = {word.encode() if isinstance(word, str) else word: index for word, index in pairs}
    return Vocabulary(tuple(last), tuple(last.values()), unknown, rows)


def from_list(words: Sequence[str], default_value: str, default_index: int | None) -> Vocabulary:
    """vocab_list: indices in order; without `default_index`, 0 is the default value and 1 any unknown word."""
    if default_index is None:
        words = [default_value, OUT_OF_VOCABULARY, *words]
        return _vocabulary(zip(words, range(len(words)), strict=True), 1, len(words))
    if default_index >= len(words):
        raise ConfigError(f"default_bucketize_value is {default_index}; with {len(words)} words it must be below that")
    return _vocabulary(zip(words, range(len(words)), strict=True), default_index, len(words))


def from_dict(indices: Mapping[str, int], default_value: str, default_index: int | None) -> Vocabulary:
    """vocab_dict: indices as given; without `default_index`, the default value gets 0 and any unknown word 1."""
    rows = max(indices.values()) + 1
    if default_index is not None:
        return _vocabulary(indices.items(), default_index, max(rows, default_index + 1))
    forced = {**indices, default_value: 0} if default_value else indices
    return _vocabulary(forced.items(), 1, max(rows, 2))


def read_asset(path: str, asset_dir: str = "") -> bytes:
    """Content of a file that a config names, local or at any URL fsspec knows.

    Raises:
        ConfigError: it cannot be read.
    """
    full = join(asset_dir, path) if asset_dir else path
    try:
        if "://" in full:
            import fsspec

            with fsspec.open(full, "rb") as file:
                return file.read()
        return Path(full).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {full!r}: {error.strerror or error}") from None


def from_file(content: bytes, default_index: int) -> Vocabulary:
    """vocab_file: one `word` per line, whose index is the line number, or `word index` on every line."""
    lines = [line.removesuffix(b"\r") for line in content.removesuffix(b"\n").split(b"\n")] if content else []
    if not lines:
        raise ConfigError("the vocabulary file is empty")
    pairs = [WORD_AND_INDEX.fullmatch(line) for line in lines]
    if all(pairs):
        words = [(match[1], int(match[2])) for match in pairs if match]
        rows = max(index for _, index in words) + 1
        if rows > MOST_ROWS:
            raise ConfigError(f"the vocabulary file has index {rows - 1}; at most {MOST_ROWS - 1} is allowed")
    else:
        words, rows = [(line, number) for number, line in enumerate(lines)], len(lines)
    if default_index >= rows:
        raise ConfigError(f"default_bucketize_value is {default_index}; with {rows} rows in the file it must be below")
    return _vocabulary(words, default_index, rows)
