"""Batches against the arrays they are packed from, feature by feature."""

from collections.abc import Callable
from types import SimpleNamespace as Shape

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.data.batch import Batch, BatchLayout, map_tensors
from tzx.runtime.data.packing import pack
from tzx.runtime.features.arrays import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData


def shape(name: str, sparse: bool, sequence: bool = False, weighted: bool = False, dim: int = 1) -> Shape:
    return Shape(name=name, is_sparse=sparse, is_sequence=sequence, is_weighted=weighted, value_dim=dim)


FEATURES = [
    shape("d1", False),
    shape("s1", True),
    shape("q1", True, True),
    shape("d3", False, dim=3),
    shape("w1", True, weighted=True),
    shape("r2", False, True, dim=2),
    shape("s2", True),
    shape("q2", True, True),
]


def random_arrays(size: int, seed: int) -> dict[str, FeatureData]:
    rng = np.random.default_rng(seed)
    arrays: dict[str, FeatureData] = {}
    for feature in FEATURES:
        lengths = rng.integers(0, 4, size).astype(np.int32)
        total = int(lengths.sum())
        if feature.is_sequence and feature.is_sparse:
            one_id = feature.name == "q2"
            keys = (np.ones(total) if one_id else rng.integers(0, 3, total)).astype(np.int32)
            arrays[feature.name] = SequenceSparseData(rng.integers(0, 99, int(keys.sum())), keys, lengths)
        elif feature.is_sequence:
            arrays[feature.name] = SequenceDenseData(rng.random((total, feature.value_dim), np.float32), lengths)
        elif feature.is_sparse:
            weights = rng.random(total, np.float32) if feature.is_weighted else None
            arrays[feature.name] = SparseData(rng.integers(0, 99, total), lengths, weights)
        else:
            arrays[feature.name] = DenseData(rng.random((size, feature.value_dim), np.float32))
    return arrays


@given(st.integers(0, 9), st.integers(0, 1000))
def test_every_feature_is_found_again(size: int, seed: int) -> None:
    arrays = random_arrays(size, seed)
    batch = pack(arrays, BatchLayout.from_features(FEATURES), size)
    assert batch.size == size
    for name in ("d1", "d3"):
        assert np.array_equal(batch.dense_of(name).numpy(), arrays[name].values)  # type: ignore[union-attr]
    for name in ("s1", "s2", "w1"):
        ids, lengths = batch.ids_of(name)
        assert ids.tolist() == arrays[name].values.tolist()  # type: ignore[union-attr]
        assert lengths.tolist() == arrays[name].lengths.tolist()  # type: ignore[union-attr]
    assert batch.weighted_ids.weights is not None
    assert np.array_equal(batch.weighted_ids.weights.numpy(), arrays["w1"].weights)  # type: ignore[union-attr]
    for name in ("q1", "q2", "r2"):
        elements, array = batch.sequences[name], arrays[name]
        assert elements.values.tolist() == array.values.tolist()  # type: ignore[union-attr]
        assert elements.seq_lengths.tolist() == array.seq_lengths.tolist()  # type: ignore[union-attr]
        assert elements.positions.tolist() == list(range(max(array.seq_lengths, default=0)))  # type: ignore[union-attr]
        if name != "r2":
            assert elements.key_lengths.tolist() == array.key_lengths.tolist()  # type: ignore[union-attr]
    assert batch.sequences["r2"].key_lengths is None


@given(st.integers(0, 9), st.integers(0, 1000))
def test_sequence_ids_are_jagged_by_row(size: int, seed: int) -> None:
    arrays = random_arrays(size, seed)
    batch = pack(arrays, BatchLayout.from_features(FEATURES), size)
    expected_ids, expected_lengths = [], []
    for name in ("q1", "q2"):
        array, at = arrays[name], 0
        for elements in array.seq_lengths:  # type: ignore[union-attr]
            expected_lengths.append(sum(array.key_lengths[at : at + elements].tolist()))  # type: ignore[union-attr]
            at += elements
        expected_ids += array.values.tolist()  # type: ignore[union-attr]
    assert batch.sequence_ids.values.tolist() == expected_ids
    assert batch.sequence_ids.lengths.tolist() == expected_lengths


def tensors_of(batch: Batch) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    map_tensors(batch, note)
    return found


def test_a_batch_is_one_block_and_moves_as_one() -> None:
    batch = pack(random_arrays(5, 0), BatchLayout.from_features(FEATURES), 5)
    assert len({t.untyped_storage().data_ptr() for t in tensors_of(batch) if t.numel()}) == 1
    batch.labels["y"] = torch.arange(5)
    moved = batch.to(torch.device("meta"))
    assert {t.device.type for t in tensors_of(moved)} == {"meta"}
    assert [t.shape for t in tensors_of(moved)] == [t.shape for t in tensors_of(batch)]
    assert [t.dtype for t in tensors_of(moved)] == [t.dtype for t in tensors_of(batch)]
    assert batch.to(torch.device("cpu")).ids.values is batch.ids.values


def test_every_tensor_is_aligned_as_vector_instructions_like_it() -> None:
    batch = pack(random_arrays(5, 1), BatchLayout.from_features(FEATURES), 5)
    whole = [batch.dense, batch.ids.values, batch.ids.lengths, batch.sequence_ids.values]
    assert all(t.data_ptr() % 64 == 0 for t in whole)


def test_a_layout_without_features_and_one_without_rows() -> None:
    batch = pack({}, BatchLayout(), 3)
    assert (batch.dense.shape, batch.ids.values.shape, batch.ids.lengths.shape) == ((3, 0), (0,), (0,))
    empty = pack(random_arrays(0, 0), BatchLayout.from_features(FEATURES), 0)
    assert (empty.dense.shape, empty.sequences["r2"].values.shape) == ((0, 4), (0, 2))


@pytest.mark.parametrize("wrong", [DenseData(np.zeros((2, 1), np.float32)), None])
def test_a_feature_of_the_wrong_kind_is_named(wrong: FeatureData) -> None:
    arrays = random_arrays(2, 0) | {"q1": wrong}
    with pytest.raises(TypeError, match="q1"):
        pack(arrays, BatchLayout.from_features(FEATURES), 2)


def test_copies_keep_values() -> None:
    batch = pack(random_arrays(5, 2), BatchLayout.from_features(FEATURES), 5)
    clone: Callable[[torch.Tensor], torch.Tensor] = torch.Tensor.clone
    copy = map_tensors(batch, clone)
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(batch), tensors_of(copy), strict=True))
