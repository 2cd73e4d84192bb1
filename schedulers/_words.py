"""The words of a user on their way into a job: what is refused, and what is quoted, once.

Every string a user gives stays one word of an argument list. Where a backend takes a shell line, `quoted` makes it.
"""

import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from types import TracebackType

from torchx.specs.finder import ComponentValidationException

from .contract import hidden, is_secret, reveals


class SchedulerError(ComponentValidationException):
    """A backend, or a check before it, refuses; torchx prints the message without a traceback."""


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, SchedulerError):
        print(f"error: {error}", file=sys.stderr)
    else:
        _tell_others(kind, error, trace)


# `torchx run` does so by itself; status, log, list and cancel let errors through.
_tell_others, sys.excepthook = sys.excepthook, _told


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


def without_references(env: Mapping[str, str]) -> dict[str, str]:
    """The variables but for references to secrets, where a job inherits these from the one who submits it."""
    missing = next((name for name, value in env.items() if _refers(value) and name not in os.environ), None)
    if missing is not None:
        raise SchedulerError(
            f"env {shortened(missing)}: {shortened(env[missing])} is a reference for Kubernetes; "
            f"here set {shortened(missing)} in your own environment"
        )
    return {name: value for name, value in env.items() if not _refers(value)}


def _refers(value: str) -> bool:
    return value.startswith("secret://")


def shortened(text: str) -> str:
    """The text as it can be shown in one line."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:60]}...{shown[-10:]}"


def quoted(text: str, variables: Mapping[str, str]) -> str:
    """The text as one word of a shell script; each key of `variables` in it becomes the expansion it stands for."""
    pattern = f"({'|'.join(map(re.escape, variables))})" if variables else r"(?!)"
    pieces = [variables.get(part) or shlex.quote(part) for part in re.split(pattern, text) if part]
    return "".join(pieces) or "''"


SECRET_FILE = "secret://"  # and an absolute path: a variable's value is the text of that file on the nodes
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HARMLESS = re.compile(r"|true|false|yes|no|on|off|-?\d{1,4}", re.IGNORECASE)


def by_reference(env: Mapping[str, str], args: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Divides variables into values and names of files that hold secrets; a secret in plain text is refused.

    For backends that keep a job's description where others can read it.
    """
    values, files = {}, {}
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name):
            raise SchedulerError(f"env: {shortened(name)} is no name of an environment variable")
        value = str.__str__(value)
        if value.startswith(SECRET_FILE):
            files[name] = plain(value.removeprefix(SECRET_FILE), f"env {name}")
            if not files[name].startswith("/"):
                raise SchedulerError(f"env {name}: {value} must name an absolute path, as in secret:///mnt/secrets/key")
        elif is_secret(name) and not _HARMLESS.fullmatch(value):
            raise SchedulerError(
                f"env {name}: its value would stand in the job's description, where others can read it; put it in a "
                f"file that the nodes see and give {name}=secret:///path/of/the/file"
            )
        else:
            values[name] = value
    telling = next((text for text in (*values.values(), *args) if reveals(text)), None)
    if telling is not None:
        raise SchedulerError(
            f"{shortened(hidden(telling))}: the password or key would stand in the job's description, where others can "
            f"read it; --env NAME=secret:///path/of/a/file reads it on the nodes"
        )
    without_nul((*values.values(), *args), "arguments and environment")
    return values, files
