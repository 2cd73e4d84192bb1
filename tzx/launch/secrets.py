"""Words of a job that a dry run must not show: TorchX prints the AppDef as it is, before any scheduler sees it."""

from collections.abc import Iterable, Mapping

from tzx_schedulers.contract import hidden, is_secret, reveals


class Secret(str):
    """A string that prints as stars; as a value, and for a scheduler, it is what it is."""

    def __repr__(self) -> str:
        return "'***'"


class Telling(str):
    """A string that prints with stars for the password or key in it."""

    def __repr__(self) -> str:
        return repr(hidden("".join(self)))


def hide_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The same variables, those with telling names made Secret."""
    return {name: Secret(value) if is_secret(name) else _hide(value) for name, value in env.items()}


def hide_in_words(words: Iterable[str]) -> list[str]:
    """The same words of a command line, those that give something away made Telling."""
    return [_hide(word) for word in words]


def _hide(text: str) -> str:
    return Telling(text) if reveals(text) else text
