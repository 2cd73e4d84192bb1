"""The log of a pod, which DLC gives as the lines of a window of time, at most so many at once.

Notable: a window begins where the last one did, so that its first lines are those already given, whatever they say;
lines that repeat are neither lost nor doubled. When a window has grown long its beginning moves on, which is checked by
counting.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

MOST = 2000  # lines in one answer
_KEPT = 1000  # lines after which the beginning of the window moves on
_LATE = timedelta(seconds=120)  # a line may arrive so much later than it was written
_FINEST = timedelta(seconds=1)  # of the service's clock
Ask = Callable[[datetime, datetime], Sequence[str]]


class PodLog:
    """Gives each line of a pod once, in any number of portions."""

    def __init__(self, ask: Ask, begin: datetime) -> None:
        self._ask, self._begin = ask, begin
        self._given: list[str] = []  # those written since begin
        self._next_move = begin

    def lines(self, now: datetime, last: bool) -> Iterator[str]:
        """The lines that have come since the last call; the newest may be half written unless it is the last call.

        Args:
            now: the service's time.
            last: whether nothing more will be written.
        """
        found = self._window(self._begin, now)
        whole = found if last else found[:-1]
        yield from fresh(self._given, whole)
        self._given = list(whole) if len(whole) >= len(self._given) else self._given
        if len(self._given) > _KEPT and now >= self._next_move and not last:
            self._next_move = now + _LATE
            self._move_on(now)

    def _move_on(self, now: datetime) -> None:
        begin = (now - _LATE).replace(microsecond=0)
        before = self._window(begin, now)
        whole = self._window(self._begin, now)
        if begin <= self._begin or before != self._window(begin, now):
            return  # lines are just arriving, so that counting proves nothing
        kept = len(before) - (len(whole) - len(self._given))
        if whole[: len(self._given)] == self._given and 0 <= kept <= len(self._given):
            self._begin, self._given = begin, self._given[len(self._given) - kept :]

    def _window(self, begin: datetime, end: datetime) -> list[str]:
        """All lines of a window, in parts if they are too many for one answer."""
        lines = list(self._ask(begin, end))
        if len(lines) < MOST or end - begin < 2 * _FINEST:
            return lines
        middle = (begin + (end - begin) / 2).replace(microsecond=0)
        # Both parts may have the lines of the second in the middle.
        first, second = self._window(begin, middle), self._window(middle, end)
        both = len(self._ask(middle, middle))
        doubled = both if both and first[-both:] == second[:both] else 0
        return [*first, *second[doubled:]]


def fresh(given: Sequence[str], found: Sequence[str]) -> list[str]:
    """Those found lines that were not given; normally what follows them, else what has arrived late among them."""
    if list(found[: len(given)]) == list(given):
        return list(found[len(given) :])
    matcher = difflib.SequenceMatcher(None, list(given), list(found), autojunk=False)
    new: list[str] = []
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind in ("insert", "replace"):
            new += found[start:end]
    return new
