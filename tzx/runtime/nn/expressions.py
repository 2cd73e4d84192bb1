"""Small call expressions in configs, such as `nn.LeakyReLU(negative_slope=0.1)`, read without running them."""

import ast
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tzx.runtime.config.problems import hint, listing
from tzx.runtime.errors import ConfigError


@dataclass(frozen=True)
class Expression:
    """A name with the literal arguments given to it."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def parse_call(text: str) -> Expression:
    """Read `a.b` or `a.b(1, c=2)`; the arguments must be literals.

    Raises:
        ConfigError: `text` is anything else.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ConfigError(f"{text!r} is not a name or a call like nn.LeakyReLU(negative_slope=0.1)") from error
    if not isinstance(node, ast.Call):
        return Expression(_dotted(node, text))
    try:
        args = tuple(ast.literal_eval(a) for a in node.args)
        kwargs = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
    except ValueError as error:
        raise ConfigError(f"arguments in {text!r} must be plain numbers, strings, booleans or None") from error
    if len(kwargs) != len(node.keywords):
        raise ConfigError(f"arguments in {text!r} must be plain numbers, strings, booleans or None")
    return Expression(_dotted(node.func, text), args, kwargs)


def check_name(name: str, allowed: Iterable[str], what: str) -> None:
    """Raise a ConfigError with the nearest allowed name unless `name` is one of them."""
    names = sorted(allowed)
    if name not in names:
        raise ConfigError(f"unknown {what} {name!r}{hint(name, names)}; allowed: {listing(names, len(names))}")


def check_arguments(function: Callable[..., Any], expression: Expression, given: int = 0) -> None:
    """Raise a ConfigError unless `function` takes these arguments after `given` positional ones."""
    signature = inspect.signature(function)
    try:
        signature.bind(*[None] * given, *expression.args, **expression.kwargs)
    except TypeError as error:
        taken = [p for p in list(signature.parameters)[given:] if p not in ("args", "kwargs")]
        raise ConfigError(f"{expression.name}: {error}; it takes {', '.join(taken) or 'no arguments'}") from error


def _dotted(node: ast.expr, text: str) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, text)}.{node.attr}"
    raise ConfigError(f"{text!r} is not a name or a call like nn.LeakyReLU(negative_slope=0.1)")
