"""Who makes batches: begun with one thread, and changed where measuring shows that others make training faster.

Bits and order of batches do not depend on who makes them, so the choice may follow the clock and differ among ranks.
"""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

logger = logging.getLogger("tzx")

_FEWEST, _SECONDS = 32, 1.0  # batches and time of a window: blocks of shuffled rows make batches come in bursts
_FIRST = 8  # batches that warm up caches and compile kernels
_TOO_MUCH = 0.05  # share of the time spent waiting that is worth doing something about
_IN_THE_WAY = 0.10  # so much of a step spent making batches in the same interpreter may slow the step down
_RESERVE = 1.25  # more hands than a steady supply needs
_WAIT_FIRST = 2.0  # seconds lost before a process is started, which costs about as many
_RUN_FIRST = 30.0  # seconds of training before something is tried that may cost more than it brings
_PAIRS, _BETTER = 3, 1.05  # comparisons, all of which have to be won, and by so much in the median
_PAUSE, _LONGEST = 0.25, 10.0  # a "step" so long, in seconds and medians, is a checkpoint or an evaluation


@dataclass(frozen=True)
class Hands:
    """Worker processes or, if there are none, threads of this process; `spare` processes are ready but idle."""

    workers: int = 0
    threads: int = 1
    spare: int = 0

    def __str__(self) -> str:
        number, one, many = self.threads, "thread", "threads"
        if self.workers:
            number, one, many = self.workers, "worker process", "worker processes"
        return f"one {one}" if number == 1 else f"{number} {many}"


@dataclass(frozen=True)
class Sample:
    """Seconds of one batch: waited for it, used for the step with it, and of the loader's thread, wall and CPU."""

    waited: float
    step: float
    making: float
    cpu: float


@dataclass(frozen=True)
class Figures:
    """Mean seconds a batch."""

    waited: float
    step: float
    making: float
    cpu: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Figures":
        """Means, without the pauses between steps."""
        longest = max(_PAUSE, _LONGEST * statistics.median(s.step for s in samples))
        return cls(
            statistics.fmean(s.waited for s in samples),
            statistics.fmean(s.step for s in samples if s.step <= longest),
            statistics.fmean(s.making for s in samples),
            statistics.fmean(s.cpu for s in samples),
        )

    @property
    def batch(self) -> float:
        """Seconds from batch to batch."""
        return max(self.waited + self.step, 1e-9)

    @property
    def share(self) -> float:
        """Share of the time spent waiting."""
        return self.waited / self.batch


class _Trial:
    """Compares hands by windows in turn, as machines are faster in one second than in the next."""

    def __init__(self, now: Hands, other: Hands, first: Figures) -> None:
        self.now, self.other = replace(now, spare=max(0, other.workers - now.workers)), other
        self.seen = [first]  # of `now`, `other`, `now` ...

    @property
    def next(self) -> Hands:
        """Whose turn it is."""
        return self.other if len(self.seen) % 2 else self.now

    @property
    def is_won(self) -> bool | None:
        """Whether `other` is faster; None as long as that is open."""
        gains = [now.batch / other.batch for now, other in zip(self.seen[::2], self.seen[1::2], strict=False)]
        if len(self.seen) % 2:
            return None
        if gains[-1] < 1:
            return False
        return None if len(gains) < _PAIRS else statistics.median(gains) >= _BETTER

    def outcome(self) -> str:
        """Both speeds, for a message."""
        now, other = (1e3 * statistics.median(f.batch for f in self.seen[start::2]) for start in (0, 1))
        return f"a batch every {other:.1f} ms instead of {now:.1f} ms"


class Tuner:
    """Chooses hands from what the consumer of batches tells; without `most` it keeps to those it begins with.

    Args:
        what: whose data this is, for messages.
        start: who makes batches at first.
        most: the limit of workers.
        why: what sets it.
        level: of log messages.
    """

    def __init__(self, what: str, start: Hands, most: int | None = None, why: str = "", level: int = 20) -> None:
        self.hands = start  # read by the thread that makes batches
        self.is_settled = most is None
        """Whether nothing is left to try as things are."""
        self.under_way = _FIRST
        """Batches of other hands that may come after the hands have changed, apart from those in workers."""
        self._what, self._most, self._why, self._level = what, most, why, level
        self._skip, self._told = _FIRST, False
        self._samples: list[Sample] = []
        self._trial: _Trial | None = None
        self._tried: set[Hands] = set()
        self._waited = self._ran = 0.0

    def add(self, sample: Sample, running: int) -> None:
        """Take in a batch that has been used; `running` workers take tasks."""
        if self._most is None or running < self.hands.workers:
            return
        if self._skip:
            self._skip -= 1
            return
        self._samples.append(sample)
        if len(self._samples) < _FEWEST or sum(s.waited + s.step for s in self._samples) < _SECONDS:
            return
        now, number = Figures.of(self._samples), len(self._samples)
        self._samples = []
        if self._trial is not None:
            self._go_on(self._trial, now)
            return
        self._waited, self._ran = self._waited + number * now.waited, self._ran + number * now.batch
        self._consider(now, self._candidates(now, self._most))

    def _consider(self, now: Figures, candidates: list[Hands]) -> None:
        self.is_settled = not candidates
        if not self._told:
            self._told = True
            self._tell(f"{self._figures(now)}: {self._conclusion(now, candidates)}")
        is_due = self._waited >= _WAIT_FIRST if now.share > _TOO_MUCH else self._ran >= _RUN_FIRST
        if candidates and is_due:
            self._tried.add(candidates[0])
            self._trial = _Trial(self.hands, candidates[0], now)
            self._use(self._trial.next)

    def _go_on(self, trial: _Trial, now: Figures) -> None:
        trial.seen.append(now)
        if trial.is_won is None:
            self._use(trial.next)
            return
        kept = trial.other if trial.is_won else replace(trial.now, spare=0)
        if trial.is_won:
            reason = f"a step takes {1e3 * now.step:.1f} ms; {trial.outcome()}"
            self._tell(f"{trial.other} from now on, not {trial.now}: {reason}")
        else:
            self._tell(f"still {trial.now}: {trial.other} would be {trial.outcome()}")
        self._trial, self._waited, self._ran = None, 0.0, 0.0
        self._use(kept)

    def _candidates(self, now: Figures, most: int) -> list[Hands]:
        """Hands that may be better than those of now, and have not been tried."""
        hands, found = self.hands, []
        if now.share > _TOO_MUCH:
            enough = math.ceil(min(_RESERVE * now.batch / max(now.step, 1e-9) * (hands.workers or hands.threads), 1e6))
            if min(enough, most) > hands.workers:
                found.append(Hands(min(enough, most)))
        elif not hands.workers and most and now.cpu > _IN_THE_WAY * now.step:
            found.append(Hands(1))
        return [h for h in found if h not in self._tried]

    def _use(self, hands: Hands) -> None:
        self._skip = self.under_way + 2 * max(hands.workers, self.hands.workers)
        self.hands = hands

    def _figures(self, now: Figures) -> str:
        verb = "makes" if str(self.hands).startswith("one") else "make"
        return f"{self.hands} {verb} a batch in {1e3 * now.making:.1f} ms, a step takes {1e3 * now.step:.1f} ms"

    def _conclusion(self, now: Figures, candidates: list[Hands]) -> str:
        if now.share <= _TOO_MUCH:
            return "that is enough"
        waiting = f"waiting {100 * now.share:.0f}% of the time"
        if candidates:
            return f"{waiting}; if that goes on, {candidates[0]} will be tried"
        return f"{waiting}; no more are started, since {self._why}"

    def _tell(self, message: str) -> None:
        logger.log(self._level, "%s data: %s", self._what, message)
