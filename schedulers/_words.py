"""The words of a user on their way into a job: what is refused, and what is quoted, once.

Every string a user gives stays one word of an argument list. Where a backend takes a shell line, `quoted` makes it.
"""

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping

from torchx.specs.finder import ComponentValidationException


class SchedulerError(ComponentValidationException):
    """A backend, or a check before it, refuses; torchx prints the message without a traceback."""


def plain(text: str, what: str) -> str:
    """The text itself, unless it has characters that no name, path or number has."""
    bad = next((char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None)
    if bad is not None:
        raise SchedulerError(f"{what}: {shortened(text)} contains the control character U+{ord(bad):04X}")
    if len(text) > 4096:
        raise SchedulerError(f"{what}: {shortened(text)} is {len(text)} characters long, 4096 are allowed")
    return text


def without_nul(words: Iterable[str], what: str) -> None:
    """Refuses what no process can be given."""
    for word in words:
        if "\0" in word:
            raise SchedulerError(f"{what}: {shortened(word)} contains a NUL character")


def shortened(text: str) -> str:
    """The text as it can be shown in one line."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:60]}...{shown[-10:]}"


def quoted(text: str, variables: Mapping[str, str]) -> str:
    """The text as one word of a shell script; each key of `variables` in it becomes the expansion it stands for."""
    pattern = f"({'|'.join(map(re.escape, variables))})" if variables else r"(?!)"
    pieces = [variables.get(part) or shlex.quote(part) for part in re.split(pattern, text) if part]
    return "".join(pieces) or "''"
