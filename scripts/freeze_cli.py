"""Prints every flag of every component and app; `--write` keeps it in tests/components/surface.txt.

The test that compares the two makes sure that no flag is renamed or dropped by accident.
"""

import argparse
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tzx.apps
from tzx import components
from tzx.apps.command import Parser

KEPT = Path(__file__).resolve().parents[1] / "tests" / "components" / "surface.txt"
# Not apps: what apps share, and torchrun, whose flags are torch's.
SHARED = ("command", "inputs", "memory", "openmp", "torchrun")


class Seen(Exception):
    """Carries a parser out of an app before it does anything."""


def component_lines() -> Iterator[str]:
    """Flags of the components, as their signatures have them."""
    for name, function in inspect.getmembers(components, inspect.isfunction):
        yield f"component {name}"
        for parameter in inspect.signature(function).parameters.values():
            kind = str(getattr(parameter.annotation, "__name__", parameter.annotation))
            text = str(parameter.annotation) if "typing." in str(parameter.annotation) else kind
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
            star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "--"
            yield f"  {star}{parameter.name}: {text.replace('typing.', '')}{default}"


def app_lines() -> Iterator[str]:
    """Flags of the apps, as their parsers have them."""
    for name in app_names():
        yield f"app {name}"
        for action in parser_of(name)._actions:
            if not isinstance(action, argparse._HelpAction):
                names = ", ".join(action.option_strings) or action.dest
                value = "" if action.nargs == 0 else f" {getattr(action.type, '__name__', 'str')}"
                choices = f" of {sorted(action.choices)}" if action.choices else ""
                required = " (required)" if action.required else ""
                yield f"  {names}{value}{choices}{required}"


def app_names() -> list[str]:
    """All entry files."""
    return sorted(module.name for module in pkgutil.iter_modules(tzx.apps.__path__) if module.name not in SHARED)


def parser_of(app: str) -> Parser:
    """The parser that an app makes."""

    def stop(self: Parser, *_: Any) -> argparse.Namespace:
        raise Seen(self)

    real, Parser.parse_args = Parser.parse_args, stop  # type: ignore[method-assign]
    try:
        importlib.import_module(f"tzx.apps.{app}").main([])
    except Seen as seen:
        found: Parser = seen.args[0]
        return found
    finally:
        Parser.parse_args = real  # type: ignore[method-assign]
    raise SystemExit(f"tzx.apps.{app} does not parse its flags with tzx.apps.command.Parser")


def surface() -> str:
    """The whole text."""
    return "\n".join([*component_lines(), *app_lines(), ""])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        KEPT.write_text(surface())
    else:
        print(surface(), end="")
