"""The list of rules. A rule is a small function that looks at one thing between fields and reports what it finds."""

from collections.abc import Callable
from dataclasses import dataclass

from tzx.runtime.config.checks.context import Context

Check = Callable[[Context], None]


@dataclass(frozen=True)
class Rule:
    """A rule's name, the sections whose names must all be readable for it to make sense, and its function."""

    name: str
    needs: tuple[str, ...]
    check: Check


RULES: dict[str, Rule] = {}


def rule(*needs: str) -> Callable[[Check], Check]:
    """Register a function as the rule of its name.

    Args:
        needs: top-level fields whose names the rule looks up; it waits while reading those lost a name.
    """

    def register(check: Check) -> Check:
        assert check.__name__ not in RULES, f"two rules are called {check.__name__}"
        RULES[check.__name__] = Rule(check.__name__, needs, check)
        return check

    return register
