"""Splitting and integer parsing against Python's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.features.kernels import text
from tzx.runtime.features.numbers import to_floats
from tzx.runtime.features.ragged import Ragged, Strings

PIECES = st.lists(st.sampled_from(["a", "bc", "|", ";", "||", "", "\x1d", "é", "::"]), max_size=8).map("".join)


def bounds(words: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoded = [word.encode() for word in words]
    data = np.frombuffer(b"".join(encoded) + b"|", np.uint8)
    ends = np.cumsum([len(word) for word in encoded], dtype=np.int64)
    return data, ends - np.array([len(word) for word in encoded], np.int64), ends


def words_of(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[str]:
    return [data[s:e].tobytes().decode() for s, e in zip(starts, ends, strict=True)]


@given(
    st.lists(PIECES, min_size=1, max_size=8),
    st.sampled_from(["|", ";", "\x1d", "||", "::", "é"]),
    st.booleans(),
    st.sampled_from([0, 1, 3]),
)
@settings(max_examples=200, deadline=None)
def test_split_equals_python(rows, separator, drop_empty, limit):
    data, starts, ends = bounds(rows)
    found = text.split(data, starts, ends, np.frombuffer(separator.encode(), np.uint8), drop_empty, limit)
    wanted = [row.split(separator) if row else [] for row in rows]
    wanted = [[token for token in row if token or not drop_empty] for row in wanted]
    wanted = [row[: limit or None] for row in wanted]
    assert found[2].tolist() == [len(row) for row in wanted]
    assert words_of(data, found[0], found[1]) == [token for row in wanted for token in row]


def test_split_of_nothing():
    empty = np.zeros(0, np.int64)
    starts, ends, counts = text.split(
        np.frombuffer(b"x", np.uint8), empty, empty, np.frombuffer(b";", np.uint8), True, 0
    )
    assert len(starts) == len(ends) == len(counts) == 0


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), st.data())
@settings(max_examples=100, deadline=None)
def test_integers_read_back(values, data):
    forms = ["{}", " {}", "{}\t", "{}.", "{}.000", "  {}.0 "]
    written = [data.draw(st.sampled_from(forms)).format(value) for value in values]
    found, bad, status = text.parse_ints(*bounds(written))
    assert (found.tolist(), bad, status) == (values, -1, text.OK)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("", text.NOT_A_NUMBER),
        (" ", text.NOT_A_NUMBER),
        ("-", text.NOT_A_NUMBER),
        ("abc", text.NOT_A_NUMBER),
        ("1a", text.NOT_A_NUMBER),
        ("1 2", text.NOT_A_NUMBER),
        ("1.5", text.NOT_A_NUMBER),
        (".0", text.NOT_A_NUMBER),
        ("0x10", text.NOT_A_NUMBER),
        ("1e3", text.NOT_A_NUMBER),
        ("--1", text.NOT_A_NUMBER),
        ("9223372036854775808", text.TOO_LARGE),
        ("-9223372036854775809", text.TOO_LARGE),
        ("1" * 40, text.TOO_LARGE),
    ],
)
def test_what_is_no_integer(word, status):
    _, bad, found = text.parse_ints(*bounds(["1", word, "x"]))
    assert (bad, found) == (1, status)


def test_leading_zeros_and_signs():
    found, bad, _ = text.parse_ints(*bounds(["007", "+5", "-0", "0" * 30 + "12"]))
    assert found.tolist() == [7, 5, 0, 12]
    assert bad == -1


def test_last_colon_and_trimming():
    data, starts, ends = bounds(["a:b:1", "none", ":", " 1.5 \t", ""])
    places = text.find_last(data, starts, ends, ord(":"))
    assert (places - starts).tolist() == [3, 4, 0, 6, 0]
    trimmed, offsets = text.trim(data, starts, ends)
    assert words_of(trimmed, offsets[:-1], offsets[1:]) == ["a:b:1", "none", ":", "1.5", ""]


@given(st.lists(st.from_regex(r"-?[0-9]{1,17}(\.[0-9]{0,9})?", fullmatch=True) | st.floats().map(repr), min_size=1))
@settings(max_examples=300, deadline=None)
def test_plain_floats_equal_python(words):
    strings = Strings.of([word.encode() for word in words])
    numbers, others = text.parse_plain_floats(strings.data, strings.starts, strings.ends)
    wanted = [float(word) for word in words]
    for at in set(range(len(words))) - set(others.tolist()):
        assert numbers[at].hex() == wanted[at].hex()
    made = to_floats(Ragged(strings, np.ones(len(words), np.int32)))
    np.testing.assert_array_equal(made, wanted)
