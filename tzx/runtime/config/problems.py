"""What is wrong with a config: collected while reading, shown together on one screen."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tzx.runtime.config.source import Place
from tzx.runtime.errors import ConfigError

_WITH_EXCERPT = 20
_AT_MOST = 100


@dataclass(frozen=True)
class Problem:
    """One finding, the place it is about and the name of the rule that made it."""

    message: str
    place: Place | None
    severity: Literal["error", "warning"] = "error"
    rule: str = ""

    def render(self, with_excerpt: bool = True) -> str:
        """One line, followed by the source line and a caret when asked for."""
        head = f"{self.place.label}: " if self.place else ""
        kind = "warning: " if self.severity == "warning" else ""
        line = head + kind + self.message
        excerpt = self.place.excerpt() if self.place and with_excerpt else ""
        return f"{line}\n{excerpt}" if excerpt else line


@dataclass
class Report:
    """Problems in the order they were found."""

    problems: list[Problem] = field(default_factory=list)

    def error(self, place: Place | None, message: str, rule: str = "") -> None:
        """Add something that must be mended."""
        self.problems.append(Problem(message, place, "error", rule))

    def warn(self, place: Place | None, message: str, rule: str = "") -> None:
        """Add something that works but is probably not meant."""
        self.problems.append(Problem(message, place, "warning", rule))

    @property
    def errors(self) -> list[Problem]:
        """Errors in the order of their places."""
        return _in_order(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> list[Problem]:
        """Warnings in the order of their places."""
        return _in_order(problem for problem in self.problems if problem.severity == "warning")

    def raise_errors(self, name: str) -> None:
        """Raise a ConfigError that shows all errors, if there are any.

        Args:
            name: of the config, for the closing count.
        """
        if errors := self.errors:
            raise ConfigError(render_all(errors, name))


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Files before overrides, then by offset; equal findings at one place are told once."""
    unique = dict.fromkeys(problems)
    return sorted(
        unique,
        key=lambda p: (p.place is None, not (p.place and p.place.source.is_file), (p.place and p.place.start) or 0),
    )


def render_all(problems: Sequence[Problem], name: str) -> str:
    """All problems as one text: the first ones with excerpts, then single lines, then a count."""
    lines = [problem.render(number < _WITH_EXCERPT) for number, problem in enumerate(problems[:_AT_MOST])]
    if len(problems) > _AT_MOST:
        lines.append(f"... and {len(problems) - _AT_MOST} more")
    noun = problems[0].severity + ("s" if len(problems) > 1 else "")
    lines.append(f"{len(problems)} {noun} in {name}")
    return "\n".join(lines)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like a name, or None when none is close."""
    pool = list(choices)
    folded = _fold(name)
    for choice in pool:
        if _fold(choice) == folded:
            return choice
    pool = [choice for choice in pool if abs(len(choice) - len(name)) <= max(3, len(name) // 2)]
    matches = difflib.get_close_matches(name, pool, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


def hint(name: str, choices: Iterable[str]) -> str:
    """`; did you mean "x"?`, or the choices themselves when they are few and none is close."""
    pool = list(dict.fromkeys(choices))
    if close := nearest(name, pool):
        return f'; did you mean "{close}"?'
    if not pool:
        return ""
    return f"; known: {listing(pool)}"


def listing(names: Iterable[str], at_most: int = 8) -> str:
    """Names joined for a message, cut when there are many."""
    pool = list(names)
    more = f" and {len(pool) - at_most} more" if len(pool) > at_most else ""
    return ", ".join(pool[:at_most]) + more


def quoted(text: str, at_most: int = 60) -> str:
    """A piece of the user's text in quotes, on one line and cut when long."""
    shown = text if len(text) <= at_most else text[: at_most - 3] + "..."
    return '"' + "".join(char if char.isprintable() else _escape(char) for char in shown) + '"'


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
