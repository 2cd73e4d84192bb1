"""What does not fit in a model's config, collected so that all of it is told at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from tzx.runtime.errors import ConfigError


class Problems:
    """Lines of a coming ConfigError."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Add one problem."""
        self.lines.append(line)

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Collect a ConfigError raised inside, prefixed by the place in the config it is about."""
        try:
            yield
        except ConfigError as error:
            self.lines += [f"{where}: {line}" for line in str(error).splitlines()]

    def raise_any(self) -> None:
        """Raise all problems as one ConfigError, if there are any."""
        if self.lines:
            raise ConfigError("\n".join(self.lines))
