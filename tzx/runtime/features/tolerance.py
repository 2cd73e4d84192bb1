"""Going on where values are bad: what cannot be read counts as missing, is counted, and is logged now and then."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.node import Node
from tzx.runtime.features.ragged import BadValue, Bool, Ragged, rows_of_slots, stretch
from tzx.runtime.features.source import Source


class BadValueCounts:
    """How many values of each feature were replaced, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._of_thread = threading.local()

    def __reduce__(self) -> tuple[type["BadValueCounts"], tuple[()]]:
        # Every process counts what it sees itself.
        return BadValueCounts, ()

    def as_dict(self) -> dict[str, int]:
        """Counts by feature name, without zeros."""
        with self._lock:
            return dict(self._counts)

    def take(self) -> dict[str, int]:
        """Counts by feature name that this thread has added since it last took them."""
        taken = dict(getattr(self._of_thread, "counts", {}))
        self._of_thread.counts = Counter[str]()
        return taken

    def add(self, feature: str, count: int, example: str) -> None:
        """Count, and log the first one and whenever there are ten times as many."""
        if not hasattr(self._of_thread, "counts"):
            self._of_thread.counts = Counter[str]()
        self._of_thread.counts[feature] += count
        with self._lock:
            before = self._counts.get(feature, 0)
            self._counts[feature] = after = before + count
        if len(str(after)) > len(str(before)) or not before:
            logging.getLogger("tzx").warning(
                "%s; taken as missing, as bad_value_policy asks (%d of this feature so far)", example, after
            )


def told(counts: Mapping[str, int]) -> str:
    """Counts by feature as a user reads them."""
    return ", ".join(f"{count:,} of {name}" for name, count in sorted(counts.items()))


@dataclass(frozen=True)
class Tolerated:
    """The stages of a feature without bad values; the `first` of these, and how many rows or elements had one."""

    inputs: list[Ragged]
    values: Ragged
    made: Ragged
    first: BadValue | None
    count: int


def run_tolerant(node: Node, source: Source, counts: BadValueCounts) -> Ragged:
    """Values of a feature for one batch, with bad ones taken as missing, counted and logged."""
    done = tolerate(node, source)
    if done.first is not None:
        counts.add(node.feature.name, done.count, str(source.failure(node.feature.name, done.first)))
    return done.made


def tolerate(node: Node, source: Source) -> Tolerated:
    """The stages of a feature for one batch, with bad values taken as missing.

    Raises:
        BadValue: leaving values out does not help, such as where the feature has no default.
    """
    inputs, refused = node.read_tolerant(source)
    first: BadValue | None = None
    count = 0
    for error, slots in refused:
        first, count = first or error, count + slots
    if node.feature.is_sequence:
        # A custom operator does this itself, but needs its sequences to fit by then.
        inputs = stretch(inputs) if node.feature.kind == "custom_feature" else inputs
        inputs, error_, rows = _same_elements(inputs)
        first, count = first or error_, count + rows
    while True:
        try:
            values = node.values(inputs)
            made = node.output(values)
        except BadValue as error:
            inputs, cleared = _without(inputs, error)
            if not cleared:
                raise _explained(first, error) from None
            first, count = first or error, count + cleared
            continue
        return Tolerated(inputs, values, made, first, count)


def _explained(first: BadValue | None, error: BadValue) -> BadValue:
    if first is None or first.problem == error.problem:
        return error
    return BadValue(first.column, first.row, f"{first.problem}; taken as missing: {error.problem}")


def _same_elements(inputs: list[Ragged]) -> tuple[list[Ragged], BadValue | None, int]:
    """Inputs whose sequences are equally long; where they were not, all are as long as the first, and empty."""
    sequences = [ragged for ragged in inputs if ragged.seq_lengths is not None]
    if len(sequences) < 2:
        return inputs, None, 0
    rows = sequences[0].seq_lengths
    assert rows is not None
    unequal = np.logical_or.reduce([ragged.seq_lengths != rows for ragged in sequences])
    if not unequal.any():
        return inputs, None, 0
    problem = f"the sequences of {' and '.join(repr(ragged.column) for ragged in sequences)} differ in length"
    error = BadValue(sequences[0].column, int(np.argmax(unequal)), problem)
    evened = [ragged if ragged.seq_lengths is None else _emptied_rows(ragged, unequal, rows) for ragged in inputs]
    return evened, error, int(unequal.sum())


def _emptied_rows(ragged: Ragged, rows: Bool, seq_lengths: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> Ragged:
    """Rows with as many empty elements as `seq_lengths` says."""
    assert ragged.seq_lengths is not None
    kept = np.repeat(~rows, ragged.seq_lengths)
    lengths = np.zeros(int(seq_lengths.sum()), np.int32)
    lengths[np.repeat(~rows, seq_lengths)] = ragged.lengths[kept]
    return replace(_keep(ragged, np.repeat(kept, ragged.lengths)), lengths=lengths, seq_lengths=seq_lengths)


def _without(inputs: Sequence[Ragged], error: BadValue) -> tuple[list[Ragged], int]:
    """Inputs without the values that the error is about, and how many slots have become empty."""
    slots = error.slots()
    fitting = [error.of_elements is not None and (r.seq_lengths is not None) == error.of_elements for r in inputs]
    if slots is not None and any(fitting):
        cleared = [_clear(r, slots) if fits else (r, 0) for r, fits in zip(inputs, fitting, strict=True)]
    elif error.row is not None:
        cleared = [_clear(ragged, _slots_of_row(ragged, error.row)) for ragged in inputs]
    else:
        return list(inputs), 0
    return [ragged for ragged, _ in cleared], max(count for _, count in cleared)


def _slots_of_row(ragged: Ragged, row: int) -> Int64:
    if ragged.seq_lengths is None:
        return np.array([row], np.int64)
    return np.flatnonzero(rows_of_slots(ragged.seq_lengths) == row)


def _clear(ragged: Ragged, slots: Int64) -> tuple[Ragged, int]:
    """Slots without their values, and how many had some."""
    lengths = ragged.lengths.copy()
    lengths[slots] = 0
    count = int((ragged.lengths[slots] > 0).sum())
    return replace(_keep(ragged, np.repeat(lengths == ragged.lengths, ragged.lengths)), lengths=lengths), count


def _keep(ragged: Ragged, values: Bool) -> Ragged:
    return replace(
        ragged,
        values=ragged.values[values],
        weights=None if ragged.weights is None else ragged.weights[values],
        items=None if ragged.items is None else ragged.items[values],
    )
