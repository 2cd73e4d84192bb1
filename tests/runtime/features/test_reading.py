"""Columns of every Arrow type and layout come out as the same slots."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.features.ragged import Ragged, Strings, as_rows, fill_empty_rows
from tzx.runtime.features.reading import Layout, WrongType, read

PLAIN = Layout(b"|")
SEQUENCE = Layout(b"|", delimiter=b";")


def slots(ragged: Ragged) -> list[list]:
    """Values slot by slot, text as str."""
    values = ragged.values
    listed = [values.text(i) for i in range(len(values))] if isinstance(values, Strings) else values.tolist()
    ends = np.cumsum(ragged.lengths)
    assert len(listed) == (ends[-1] if len(ends) else 0)
    return [listed[end - size : end] for end, size in zip(ends, ragged.lengths, strict=True)]


TEXT = ["a|b", None, "", "c", "|d|"]
TEXT_SLOTS = [["a", "b"], [], [], ["c"], ["d"]]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    ids=str,
)
@pytest.mark.parametrize("start", [0, 1, 3, 5])
def test_text_types(kind, start):
    array = pa.array(TEXT).cast(pa.binary()).cast(kind) if "binary" in str(kind) else pa.array(TEXT, kind)
    assert slots(read(array[start:], PLAIN, "c")) == TEXT_SLOTS[start:]


def test_dictionary_run_ends_and_chunks():
    array = pa.array(TEXT)
    assert slots(read(array.dictionary_encode(), PLAIN, "c")) == TEXT_SLOTS
    assert slots(read(pa.array([TEXT[0]] * 3).dictionary_encode()[1:], PLAIN, "c")) == [["a", "b"]] * 2
    chunked = pa.chunked_array([array[:2], array[2:2], array[2:]])
    assert slots(read(chunked, PLAIN, "c")) == TEXT_SLOTS
    assert slots(read(pa.chunked_array([], pa.string()), PLAIN, "c")) == []
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a|b", "c"]))
    assert slots(read(ends, PLAIN, "c")) == [["a", "b"], ["a", "b"], ["c"]]


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()],
    ids=str,
)
def test_integer_types(kind):
    array = pa.array([7, None, 0, 100], kind)
    for start in range(4):
        ragged = read(array[start:], PLAIN, "c")
        assert slots(ragged) == [[7], [], [0], [100]][start:]
        assert ragged.values.dtype == np.int64


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_float_types(kind):
    array = pa.array(np.array([0.5, 2.0, -1.0]), pa.float64()).cast(kind)
    assert slots(read(array[1:], PLAIN, "c")) == [[2.0], [-1.0]]


def test_numbers_beyond_int64_become_text():
    assert slots(read(pa.array([1, 2**64 - 1], pa.uint64()), PLAIN, "c")) == [["1"], ["18446744073709551615"]]


def test_booleans_dates_and_decimals():
    flags = pa.array([True, None, False] * 5)
    assert slots(read(flags[4:9], PLAIN, "c")) == [[], [0], [1], [], [0]]
    day = datetime.date(2024, 2, 29)
    assert slots(read(pa.array([day, None]), PLAIN, "c")) == [["2024-02-29"], []]
    assert slots(read(pa.array([decimal.Decimal("1.50")]), PLAIN, "c")) == [["1.50"]]


LISTS = [["a", "", None, "b"], None, [], ["c|d"]]


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_lists_of_text(start):
    array = pa.array(LISTS)
    wanted = [["a", "b"], [], [], ["c|d"]][start:]
    assert slots(read(array[start:], PLAIN, "c")) == wanted
    assert slots(read(array[start:].cast(pa.large_list(pa.large_string())), PLAIN, "c")) == wanted


def test_list_layouts():
    fixed = pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2))
    assert slots(read(fixed, PLAIN, "c")) == [[1, 2], [], [3]]
    assert slots(read(fixed[1:], PLAIN, "c")) == [[], [3]]
    views = pa.ListViewArray.from_arrays(
        pa.array([1, 0], pa.int32()), pa.array([2, 1], pa.int32()), pa.array([5, 6, 7])
    )
    assert slots(read(views, PLAIN, "c")) == [[6, 7], [5]]
    covered = pa.ListArray.from_arrays(
        pa.array([0, 2, 4], pa.int32()), pa.array([1, 2, 3, 4]), mask=pa.array([True, False])
    )
    assert slots(read(covered, PLAIN, "c")) == [[], [3, 4]]
    words = pa.array([["a"], ["b", "a"]]).cast(pa.list_(pa.dictionary(pa.int32(), pa.string())))
    assert slots(read(words, PLAIN, "c")) == [["a"], ["b", "a"]]


MAP = pa.array([[("x", 1.5), ("y", 2.0)], None, [], [("z", None)]], pa.map_(pa.string(), pa.float64()))


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_maps(start):
    pairs = read(MAP[start:], PLAIN, "c")
    assert slots(pairs) == [["x:1.5", "y:2"], [], [], ["z:"]][start:]
    keys = read(MAP[start:], Layout(b"|", map_keys=True), "c")
    assert slots(keys) == [["x", "y"], [], [], ["z"]][start:]
    weighted = read(MAP[start:], Layout(b"|", weighted=True), "c")
    assert slots(weighted) == slots(keys)
    assert weighted.weights.tolist() == [1.5, 2.0, 1.0][0 if start == 0 else 3 if start == 4 else 2 :]


def test_map_whose_null_covers_entries():
    array = pa.MapArray.from_arrays(
        pa.array([0, 1, 2, 3], pa.int32()),
        pa.array(["a", "b", "c"]),
        pa.array([1, 2, 3]),
        mask=pa.array([False, True, False]),
    )
    assert slots(read(array, PLAIN, "c")) == [["a:1"], [], ["c:3"]]


def test_weights():
    ragged = read(pa.array(["a:0.5|b|c:d:2", None, "e:1e-1"]), Layout(b"|", weighted=True), "c")
    assert slots(ragged) == [["a", "b", "c:d"], [], ["e"]]
    np.testing.assert_allclose(ragged.weights, [0.5, 1, 2, 0.1])


def rows(ragged: Ragged) -> list[list[list]]:
    """Elements row by row."""
    all_slots = slots(ragged)
    ends = np.cumsum(ragged.seq_lengths)
    return [all_slots[end - size : end] for end, size in zip(ends, ragged.seq_lengths, strict=True)]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a|b;c", None, "", "d;;e", ";"]), [[["a", "b"], ["c"]], [], [], [["d"], [], ["e"]], [[], []]]),
        (pa.array([["a|b", None, ""], [], None]), [[["a", "b"], [], []], [], []]),
        (pa.array([[1, None, 2], None]), [[[1], [], [2]], []]),
        (pa.array([[["a|b", None], None, []], None, []]), [[["a|b"], [], []], [], []]),
        (pa.array([[[1, 2], [3]], [[None]]]), [[[1, 2], [3]], [[]]]),
        (pa.array([5, None]), [[[5]], []]),
        (pa.array([[[1, 2], [3, 4]]], pa.list_(pa.list_(pa.int64(), 2))), [[[1, 2], [3, 4]]]),
    ],
)
def test_sequences(array, expected):
    assert rows(read(array, SEQUENCE, "c")) == expected
    assert rows(read(pa.concat_arrays([array, array])[len(array) :], SEQUENCE, "c")) == expected
    filled = read(array, Layout(b"|", delimiter=b";", fill_rows=True), "c")
    assert rows(filled) == [row or [[]] for row in expected]
    cut = read(array, Layout(b"|", delimiter=b";", max_elements=1), "c")
    assert rows(cut) == [row[:1] for row in expected]
    assert slots(as_rows(filled)) == [[value for slot in row for value in slot] for row in expected]


def test_longest_texts():
    huge = "x" * 10_000_000
    many = ";".join(["y"] * 1_000_000)
    ragged = read(pa.array([huge, many]), SEQUENCE, "c")
    assert ragged.seq_lengths.tolist() == [1, 1_000_000]
    assert len(ragged.values) == 1_000_001


def test_unreadable_types():
    for array in (pa.array([{"a": 1}]), pa.array([[{"a": 1}]])):
        with pytest.raises(WrongType, match="struct"):
            read(array, PLAIN, "c")


def test_filling_rows_leaves_plain_columns_alone():
    plain = read(pa.array(["a", None]), PLAIN, "c")
    assert fill_empty_rows(plain) is plain
