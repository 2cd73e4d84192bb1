"""Tokenizers: texts to token ids, by the libraries that define them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.arrays import Int32, Int64


@dataclass(frozen=True)
class Tokenizer(ABC):
    """Calls `library`; a subclass knows how."""

    library: Any

    def __call__(self, texts: Sequence[str]) -> tuple[Int64, Int32]:
        """Ids of all texts one after the other [N], and ids per text [S]."""
        found = self.encode(texts) if texts else []
        lengths = np.fromiter(map(len, found), np.int32, len(found))
        return np.fromiter(chain.from_iterable(found), np.int64, int(lengths.sum())), lengths

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of every text."""


class BpeTokenizer(Tokenizer):
    """A tokenizer.json of the tokenizers package, without the special tokens it may add around a text."""

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of every text."""
        return [encoding.ids for encoding in self.library.encode_batch_fast(list(texts), add_special_tokens=False)]


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model."""

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of every text."""
        return self.library.encode(list(texts), out_type=int, num_threads=1)


def _load_bpe(content: bytes) -> Tokenizer:
    from tokenizers import Tokenizer as Library

    library = Library.from_str(content.decode())
    # Padding would make a row depend on the others of its batch.
    library.no_padding()
    return BpeTokenizer(library)


def _load_sentencepiece(content: bytes) -> Tokenizer:
    from sentencepiece import SentencePieceProcessor

    library = SentencePieceProcessor()
    library.LoadFromSerializedProto(content)
    return SentencePieceTokenizer(library)


LOADERS: dict[str, Callable[[bytes], Tokenizer]] = {"bpe": _load_bpe, "sentencepiece": _load_sentencepiece}
PACKAGES = {"bpe": "tokenizers", "sentencepiece": "sentencepiece"}


def load_tokenizer(kind: str, content: bytes, name: str) -> Tokenizer:
    """A tokenizer from the content of its file.

    Args:
        kind: bpe or sentencepiece.
        content: of a tokenizer.json or a SentencePiece model.
        name: of the file, for messages.

    Raises:
        ConfigError: the kind is unknown, its package is not installed, or the content is something else.
    """
    if kind not in LOADERS:
        raise ConfigError(f"tokenizer_type is {kind!r}; allowed are {', '.join(LOADERS)}")
    try:
        return LOADERS[kind](content)
    except ImportError:
        package = PACKAGES[kind]
        raise ConfigError(f"tokenizer_type {kind!r} needs the package {package}; pip install 'tzx[text]'") from None
    except Exception as error:
        # The libraries raise plain Exception, RuntimeError or ValueError for a file that is none of theirs.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"vocab_file {name!r} is no {kind} tokenizer: {reason}") from None
