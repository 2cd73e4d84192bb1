"""Trains with the train app, its flags and all, but stops after each line of its log until told to go on (turns.py).

python benchmarks/tzx_turns.py --config FILE ...      as `python -m tzx.apps.train`
"""

import logging
import re

from turns import Turns

from tzx.apps.command import run
from tzx.apps.train import main

_FIRST = re.compile(r"first step done ([\d.]+) s")
_WINDOW = re.compile(r"train .*step \d+ .* samples/s")


class _Listener(logging.Handler):
    """Turns what training logs into reports."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = Turns(window=0, waiting=True)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if found := _FIRST.search(message):
            self._turns.first_step(float(found[1]))
        elif _WINDOW.search(message):
            self._turns.window()


if __name__ == "__main__":
    logging.getLogger("tzx").addHandler(_Listener())
    run(main)
