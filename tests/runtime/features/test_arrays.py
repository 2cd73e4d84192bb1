"""Pieces of what features yield, put together again, are the whole."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.features.arrays import (
    DenseData,
    FeatureData,
    SequenceDenseData,
    SequenceSparseData,
    SparseData,
    cut,
)


def _make(kind: str, lengths: list[int]) -> FeatureData:
    """Data of `len(lengths)` rows whose values tell their places."""
    counts = np.array(lengths, np.int32)
    numbers = np.arange(counts.sum() * 2, dtype=np.float32)
    if kind == "dense":
        return DenseData(np.arange(3 * len(counts), dtype=np.float32).reshape(-1, 3))
    if kind in ("ids", "weighted ids"):
        ids = np.arange(counts.sum())
        return SparseData(ids, counts, ids.astype(np.float32) / 2 if kind == "weighted ids" else None)
    if kind == "sequence of numbers":
        return SequenceDenseData(numbers.reshape(-1, 2), counts)
    key_lengths = np.arange(counts.sum(), dtype=np.int32) % 3
    return SequenceSparseData(np.arange(key_lengths.sum()), key_lengths, counts)


def _joined(pieces: list[FeatureData]) -> dict[str, npt.NDArray[np.generic]]:
    names = [name for name, value in vars(pieces[0]).items() if value is not None]
    return {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names}


@pytest.mark.parametrize("kind", ["dense", "ids", "weighted ids", "sequence of numbers", "sequence of ids"])
@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=20), data=st.data())
def test_pieces_make_the_whole(kind: str, lengths: list[int], data: st.DataObject) -> None:
    inner = sorted(data.draw(st.lists(st.integers(0, len(lengths)), max_size=4)))
    bounds = [0, *inner, len(lengths)]
    whole = _make(kind, lengths)
    pieces = cut(whole, bounds)
    for name, array in _joined(pieces).items():
        assert np.array_equal(array, getattr(whole, name)), name
    for piece, rows in zip(pieces, np.diff(bounds), strict=True):
        assert type(piece) is type(whole)
        if isinstance(piece, DenseData):
            assert len(piece.values) == rows
        elif isinstance(piece, SparseData):
            assert len(piece.lengths) == rows
            assert len(piece.values) == piece.lengths.sum()
        else:
            elements = piece.values if isinstance(piece, SequenceDenseData) else piece.key_lengths
            assert len(piece.seq_lengths) == rows
            assert len(elements) == piece.seq_lengths.sum()
        if isinstance(piece, SequenceSparseData):
            assert len(piece.values) == piece.key_lengths.sum()
