"""Trains with the train app, its flags and all, but stops after each line of its log until told to go on (turns.py).

python benchmarks/tzx_turns.py --config FILE ...            as `python -m tzx.apps.train`
python benchmarks/tzx_turns.py --ready 3 --config FILE ...  the batches of three epochs are made before the first step

The loader stops with the steps: it would otherwise make batches for the next turn while others have theirs.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from turns import Turns

from tzx.apps.command import run
from tzx.apps.train import main

_FIRST = re.compile(r"first step done ([\d.]+) s")
_WINDOW = re.compile(r"train .*step \d+ .* samples/s")
_Batches = Callable[..., Iterator[Any]]


class Listener(logging.Handler):
    """Turns what training logs into reports.

    Args:
        turns: told of first step and windows.
        gate: closed while others have their turn.
    """

    def __init__(self, turns: Turns, gate: threading.Event) -> None:
        super().__init__()
        self._turns, self._gate = turns, gate
        gate.set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if found := _FIRST.search(message):
            self._turns.first_step(float(found[1]))
        elif _WINDOW.search(message):
            self._gate.clear()
            self._turns.window()
            self._gate.set()


def gated(produce: _Batches, gate: threading.Event) -> _Batches:
    """A loader's `_produce` that hands out no batch while the gate is closed."""

    def produce_in_turn(*args: Any) -> Iterator[Any]:
        for batch in produce(*args):
            gate.wait()
            yield batch

    return produce_in_turn


def ready_made(epoch: _Batches, epochs: int) -> _Batches:
    """A loader's `epoch` that makes all batches to train on before it gives out the first."""
    kept: list[list[Any]] = []

    def epoch_from_memory(loader: Any, number: int = 0, *args: Any, **others: Any) -> Iterator[Any]:
        if loader._options.mode != "train":
            return epoch(loader, number, *args, **others)
        if not kept:
            kept.extend(list(epoch(loader, each)) for each in range(epochs))
        return (batch for batch in kept[number])

    return epoch_from_memory


def train(argv: list[str]) -> int:
    """The train app, on a loader that takes turns as well."""
    from tzx.runtime.data.loader import DataLoader  # now that `run` has set how threads wait

    gate = threading.Event()
    logging.getLogger("tzx").addHandler(Listener(Turns(window=0, waiting=True), gate))
    DataLoader._produce = gated(DataLoader._produce, gate)  # type: ignore[method-assign]
    if argv[0] == "--ready":
        DataLoader.epoch = ready_made(DataLoader.epoch, int(argv[1]))  # type: ignore[method-assign]
        argv = argv[2:]
    return main(argv)


if __name__ == "__main__":
    run(train)
