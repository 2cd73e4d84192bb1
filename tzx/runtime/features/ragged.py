"""What flows between the stages of feature generation: values, grouped into slots.

A slot is a row of a plain feature or one element of a sequence, so that an operator treats both alike; a sequence
only adds how many slots each row has. A slot without values is a missing one.

Legend: N values, S slots, B rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tzx.runtime.features.arrays import Float32, Int32, Int64

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float32] | npt.NDArray[np.float64]


NO_BYTES: UInt8 = np.frombuffer(b"\0", np.uint8)[:0]


@dataclass(frozen=True)
class Strings:
    """N byte strings as slices [starts, ends) of one read-only buffer, which they need not cover."""

    data: UInt8
    starts: Int64
    ends: Int64

    @staticmethod
    def of(words: Sequence[bytes]) -> "Strings":
        """Python byte strings, copied into one buffer."""
        ends = np.cumsum([len(word) for word in words], dtype=np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        joined = b"".join(words)
        return Strings(np.frombuffer(joined, np.uint8) if joined else NO_BYTES, starts, ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, keep: Bool | Int64 | slice) -> "Strings":
        return Strings(self.data, self.starts[keep], self.ends[keep])

    def text(self, at: int) -> str:
        """One string, for messages."""
        return self.data[self.starts[at] : self.ends[at]].tobytes().decode("utf-8", "backslashreplace")


Values = Strings | Numbers


@dataclass(frozen=True)
class Ragged:
    """`values` [N] in slots of `lengths` [S]; a sequence has `seq_lengths` [B]; `column` is for messages.

    Of pairs, `values` are the keys and `items` what they stand for.
    """

    values: Values
    lengths: Int32
    seq_lengths: Int32 | None = None
    weights: Float32 | None = None
    column: str = ""
    items: Values | None = None

    def with_values(self, values: Values, lengths: Int32 | None = None) -> "Ragged":
        """The same with other values, and other lengths if given; five times as fast as `dataclasses.replace`."""
        lengths = self.lengths if lengths is None else lengths
        return Ragged(values, lengths, self.seq_lengths, self.weights, self.column, self.items)

    def row_of_slot(self, slot: int) -> int:
        """Row of the batch that a slot belongs to."""
        if self.seq_lengths is None:
            return slot
        return int(np.searchsorted(np.cumsum(self.seq_lengths), slot, side="right"))

    def slots_of_values(self, at: Int64) -> Int64:
        """Slots that values belong to, each once."""
        return np.unique(np.searchsorted(np.cumsum(self.lengths), at, side="right"))

    def row_of_value(self, at: int) -> int:
        """Row of the batch that a value belongs to."""
        return self.row_of_slot(int(np.searchsorted(np.cumsum(self.lengths), at, side="right")))


class BadValue(Exception):
    """A value that cannot be used, on its way to the place that knows which feature asked for it."""

    def __init__(self, column: str, row: int | None, problem: str) -> None:
        super().__init__(problem)
        self.column, self.row, self.problem = column, row, problem
        # For those who go on without them: all bad slots, found when asked for, and whether these are elements.
        self.slots: Callable[[], Int64 | None] = lambda: None
        self.of_elements: bool | None = None


def bad_value(ragged: Ragged, at: int, problem: str, every: Callable[[], Int64] | None = None) -> BadValue:
    """Point at value number `at`, the first of those that `every` finds."""
    error = BadValue(ragged.column, ragged.row_of_value(at), problem)
    error.of_elements = ragged.seq_lengths is not None
    error.slots = lambda: ragged.slots_of_values(every() if every else np.array([at], np.int64))
    return error


def bad_slot(ragged: Ragged, slot: int, problem: str, every: Int64 | None = None) -> BadValue:
    """Point at slot number `slot`, the first of `every`."""
    error = BadValue(ragged.column, ragged.row_of_slot(slot), problem)
    error.of_elements = ragged.seq_lengths is not None
    error.slots = lambda: np.array([slot], np.int64) if every is None else every
    return error


def ones(size: int) -> Int32:
    """Lengths of slots with one value each; `np.ones` takes twice as long."""
    return np.full(size, 1, np.int32)


def counts_of_kept(keep: Bool, lengths: Int32) -> Int32:
    """How many values of each slot `keep` [N] lets through."""
    running = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(keep, out=running[1:])
    ends = np.cumsum(lengths, dtype=np.int64)
    return (running[ends] - running[ends - lengths]).astype(np.int32)


def places_in_slot(lengths: Int32) -> Int64:
    """Index of every value within its slot, [N]."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) - np.repeat(ends - lengths, lengths)


def take_slots(ragged: Ragged, index: Int64) -> Ragged:
    """The slots numbered by `index`, repeated or left out as it says; without `seq_lengths`."""
    lengths = ragged.lengths[index]
    firsts = (np.cumsum(ragged.lengths, dtype=np.int64) - ragged.lengths)[index]
    places = np.repeat(firsts, lengths) + places_in_slot(lengths)
    return replace(
        ragged,
        values=ragged.values[places],
        lengths=lengths,
        seq_lengths=None,
        weights=None if ragged.weights is None else ragged.weights[places],
        items=None if ragged.items is None else ragged.items[places],
    )


def rows_of_slots(seq_lengths: Int32) -> Int64:
    """Row of every element, [M]."""
    return np.repeat(np.arange(len(seq_lengths), dtype=np.int64), seq_lengths)


def stretch(inputs: Sequence[Ragged]) -> list[Ragged]:
    """Inputs of which a sequence with one element in a row has it as often as the longest one has elements."""
    counts = [ragged.seq_lengths for ragged in inputs if ragged.seq_lengths is not None]
    if len(counts) < 2:
        return list(inputs)
    longest: Int32 = np.maximum.reduce(counts)
    return [_stretched(ragged, longest) for ragged in inputs]


def _stretched(ragged: Ragged, longest: Int32) -> Ragged:
    rows = ragged.seq_lengths
    if rows is None or not ((rows == 1) & (longest > 1)).any():
        return ragged
    single = rows == 1
    lengths: Int32 = np.where(single, longest, rows)
    places = np.where(np.repeat(single, lengths), 0, places_in_slot(lengths))
    firsts = np.repeat(np.cumsum(rows, dtype=np.int64) - rows, lengths)
    return replace(take_slots(ragged, firsts + places), seq_lengths=lengths)


def align(inputs: Sequence[Ragged], is_sequence: bool) -> list[Ragged]:
    """Inputs with the same slots: what has one slot per row is repeated for every element of the sequences.

    Raises:
        BadValue: two sequences have different numbers of elements in a row.
    """
    first = next((ragged for ragged in inputs if ragged.seq_lengths is not None), None)
    if first is None or first.seq_lengths is None:
        if not is_sequence:
            return list(inputs)
        single = ones(len(inputs[0].lengths))
        return [replace(ragged, seq_lengths=single) for ragged in inputs]
    rows = first.seq_lengths
    repeated = rows_of_slots(rows)
    aligned = []
    for ragged in inputs:
        if ragged.seq_lengths is None:
            aligned.append(replace(take_slots(ragged, repeated), seq_lengths=rows))
            continue
        unequal = ragged.seq_lengths != rows
        if unequal.any():
            row = int(np.argmax(unequal))
            counts = f"{ragged.seq_lengths[row]} elements, but {first.column!r} has {rows[row]}"
            raise BadValue(ragged.column, row, f"the sequence has {counts}")
        aligned.append(ragged)
    return aligned


def head_values(ragged: Ragged, count: int) -> Ragged:
    """Keep the first `count` values of every slot; 0 keeps all."""
    lengths = ragged.lengths
    if count == 0 or not len(lengths) or int(lengths.max()) <= count:
        return ragged
    keep = places_in_slot(lengths) < count
    weights = None if ragged.weights is None else ragged.weights[keep]
    return replace(ragged, values=ragged.values[keep], lengths=np.minimum(lengths, np.int32(count)), weights=weights)


def head_elements(ragged: Ragged, count: int | None) -> Ragged:
    """Keep the first `count` elements of every sequence; None or 0 keeps all."""
    rows = ragged.seq_lengths
    if not count or rows is None or not len(rows) or int(rows.max()) <= count:
        return ragged
    keep_slot = places_in_slot(rows) < count
    keep = np.repeat(keep_slot, ragged.lengths)
    return replace(
        ragged,
        values=ragged.values[keep],
        lengths=ragged.lengths[keep_slot],
        seq_lengths=np.minimum(rows, np.int32(count)),
        weights=None if ragged.weights is None else ragged.weights[keep],
    )


def fill_empty_rows(ragged: Ragged) -> Ragged:
    """Give every sequence without elements one missing element, where a default can be put."""
    rows = ragged.seq_lengths
    if rows is None or not len(rows) or int(rows.min()) > 0:
        return ragged
    before = (np.cumsum(rows, dtype=np.int64) - rows)[rows == 0]
    lengths = np.insert(ragged.lengths, before, 0).astype(np.int32)
    return replace(ragged, lengths=lengths, seq_lengths=np.maximum(rows, np.int32(1)))


def is_complete(lengths: Int32) -> bool:
    """Whether no slot is empty. Counting takes half as long as `lengths.all()`."""
    return bool(np.count_nonzero(lengths) == len(lengths))


def all_hold(ragged: Ragged, count: int) -> bool:
    """Whether every slot has exactly `count` values."""
    lengths = ragged.lengths
    if len(ragged.values) != count * len(lengths):
        return False
    if count == 1:
        return is_complete(lengths)
    return not len(lengths) or int(lengths.min()) == int(lengths.max()) == count


def fill_missing(ragged: Ragged, default: Numbers, weight: float = 1.0) -> Ragged:
    """Put `default` into every slot without values. Values must be numbers already.

    Args:
        ragged: the slots.
        default: numbers for a slot, [D]; or [P, D], those of P runs of rows.
        weight: of every number that is put in.
    """
    if not default.size or is_complete(ragged.lengths):
        return ragged
    missing = ragged.lengths == 0
    values = ragged.values
    assert isinstance(values, np.ndarray)
    lengths = np.where(missing, np.int32(default.shape[-1]), ragged.lengths)
    filled = missing if len(lengths) == lengths.sum() == np.count_nonzero(lengths) else np.repeat(missing, lengths)
    out = np.empty(len(filled), values.dtype)
    out[filled] = _defaults_of(default, missing, ragged).astype(values.dtype, copy=False)
    out[~filled] = values
    weights = ragged.weights
    if weights is not None:
        weights = np.full(len(filled), weight, np.float32)
        weights[~filled] = ragged.weights
    return replace(ragged, values=out, lengths=lengths, weights=weights)


def _defaults_of(default: Numbers, missing: Bool, ragged: Ragged) -> Numbers:
    """The numbers of all missing slots, one slot after the other."""
    if default.ndim == 1:
        tiled: Numbers = np.tile(default, np.count_nonzero(missing))  # type: ignore[assignment]
        return tiled
    before = np.concatenate([[0], np.cumsum(missing)])
    counts = np.diff(before[slot_bounds(ragged, len(default))])
    repeated: Numbers = np.repeat(default, counts, axis=0).ravel()  # type: ignore[assignment]
    return repeated


def slot_bounds(ragged: Ragged, parts: int) -> list[int]:
    """Where each of as many equal runs of rows begins among the slots, and where the last one ends."""
    rows = ragged.seq_lengths
    if rows is None:
        size = len(ragged.lengths) // parts
        return list(range(0, parts * size + 1, size)) if size else [0] * (parts + 1)
    return [0, *np.cumsum(rows.reshape(parts, -1).sum(1)).tolist()]


def value_bounds(ragged: Ragged, parts: int) -> list[int]:
    """Where each of as many equal runs of rows begins among the values, and where the last one ends."""
    if ragged.seq_lengths is None:
        return [0, *np.cumsum(ragged.lengths.reshape(parts, -1).sum(1)).tolist()]
    bounds = slot_bounds(ragged, parts)
    return [0, *np.cumsum([ragged.lengths[first:last].sum() for first, last in pairwise(bounds)]).tolist()]


def cut_rows(ragged: Ragged, parts: int) -> list[Ragged]:
    """As many equal runs of rows, each for itself."""
    slots, values = slot_bounds(ragged, parts), value_bounds(ragged, parts)
    rows = None if ragged.seq_lengths is None else ragged.seq_lengths.reshape(parts, -1)
    weights = ragged.weights
    return [
        Ragged(
            ragged.values[values[at] : values[at + 1]],
            ragged.lengths[slots[at] : slots[at + 1]],
            None if rows is None else rows[at],
            None if weights is None else weights[values[at] : values[at + 1]],
            ragged.column,
        )
        for at in range(parts)
    ]


def as_rows(ragged: Ragged) -> Ragged:
    """Forget the elements of a sequence: all values of a row in one slot."""
    if ragged.seq_lengths is None:
        return ragged
    ends = np.cumsum(ragged.seq_lengths, dtype=np.int64)
    running = np.zeros(len(ragged.lengths) + 1, np.int64)
    np.cumsum(ragged.lengths, out=running[1:])
    lengths = (running[ends] - running[ends - ragged.seq_lengths]).astype(np.int32)
    return replace(ragged, lengths=lengths, seq_lengths=None)
