"""The last stage of every feature: values to ids or numbers, defaults, and the arrays of `arrays.py`."""

from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.features.arrays import (
    DenseData,
    FeatureData,
    Float32,
    Int64,
    SequenceDenseData,
    SequenceSparseData,
    SparseData,
)
from tzx.runtime.features.bucketizers import Bucketizer
from tzx.runtime.features.numbers import to_float32, to_strings
from tzx.runtime.features.ragged import Numbers, Ragged, Strings, all_hold, bad_slot, fill_missing

NO_IDS: Int64 = np.zeros(0, np.int64)
NO_NUMBERS: Float32 = np.zeros(0, np.float32)


@dataclass(frozen=True)
class SparseOutput:
    """Ids through `bucketizer`; a missing slot gets `default`, ids that are bucketized already."""

    bucketizer: Bucketizer
    default: Numbers

    def __call__(self, ragged: Ragged) -> Ragged:
        """Ids of the values, defaults filled in."""
        return fill_missing(ragged.with_values(self.bucketizer(ragged)), self.default)

    @staticmethod
    def pack(ragged: Ragged) -> FeatureData:
        """Arrays of a finished feature."""
        ids: Int64 = _numbers(ragged).astype(np.int64, copy=False)
        if ragged.seq_lengths is None:
            return SparseData(ids, ragged.lengths, ragged.weights)
        return SequenceSparseData(ids, ragged.lengths, ragged.seq_lengths)


@dataclass(frozen=True)
class DenseOutput:
    """Exactly `width` numbers per slot; a missing slot gets `default`."""

    width: int
    default: Numbers
    remedy: str

    def __call__(self, ragged: Ragged) -> Ragged:
        """Numbers, defaults filled in."""
        numbers = ragged.with_values(to_float32(ragged))
        if all_hold(numbers, self.width):
            return numbers
        filled = fill_missing(numbers, self.default)
        lengths = filled.lengths
        if len(lengths) and (int(lengths.min()) != self.width or int(lengths.max()) != self.width):
            every = np.flatnonzero(lengths != self.width)
            slot = int(every[0])
            if lengths[slot] == 0:
                raise bad_slot(filled, slot, f"the value is missing and there is no default; {self.remedy}")
            raise bad_slot(filled, slot, f"{lengths[slot]} numbers where value_dim is {self.width}", every)
        return filled

    def pack(self, ragged: Ragged) -> FeatureData:
        """Arrays of a finished feature."""
        values = _numbers(ragged).astype(np.float32, copy=False).reshape(-1, self.width)
        if ragged.seq_lengths is None:
            return DenseData(values)
        return SequenceDenseData(values, ragged.seq_lengths)


@dataclass(frozen=True)
class TextOutput:
    """Values as text, for a stub that other features read; a missing slot gets the words of `default`."""

    default: tuple[bytes, ...]

    def __call__(self, ragged: Ragged) -> Ragged:
        """Values as text, defaults filled in."""
        strings = to_strings(ragged.values)
        if not self.default or ragged.lengths.all():
            return replace(ragged, values=strings)
        added = Strings.of(self.default)
        size, shift = len(strings), len(strings.data)
        order = np.arange(size, dtype=np.int64)
        filled = fill_missing(replace(ragged, values=order), np.arange(size, size + len(added)))
        order = _numbers(filled).astype(np.int64, copy=False)
        data = np.concatenate([strings.data, added.data])
        data.flags.writeable = False
        starts = np.concatenate([strings.starts, added.starts + shift])[order]
        ends = np.concatenate([strings.ends, added.ends + shift])[order]
        return replace(filled, values=Strings(data, starts, ends))

    @staticmethod
    def pack(ragged: Ragged) -> FeatureData:
        """A stub is no input of the model."""
        raise AssertionError("a stub has no arrays")


def _numbers(ragged: Ragged) -> Numbers:
    assert isinstance(ragged.values, np.ndarray)
    return ragged.values


Output = SparseOutput | DenseOutput | TextOutput
