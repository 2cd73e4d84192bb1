"""Hashes against pure Python and against recorded FarmHash values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.features.kernels import hashing

WORD = 2**64 - 1
MUL = 0xC6A4A7935BD1E995


def murmur64(data: bytes, seed: int = 0xC70F6907) -> int:
    """MurmurHash64A as its definition reads."""
    h = seed ^ (len(data) * MUL & WORD)
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        k = int.from_bytes(data[at : at + 8], "little") * MUL & WORD
        k = (k ^ k >> 47) * MUL & WORD
        h = (h ^ k) * MUL & WORD
    if data[whole:]:
        h = (h ^ int.from_bytes(data[whole:], "little")) * MUL & WORD
    h = (h ^ h >> 47) * MUL & WORD
    return h ^ h >> 47


def bounds(words: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = np.frombuffer(b"".join(words) + b"!", np.uint8)
    ends = np.cumsum([len(word) for word in words], dtype=np.int64)
    return data, ends - np.array([len(word) for word in words], np.int64), ends


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20), st.sampled_from([1, 7, 100, 2**31, 2**63 - 1]))
@settings(max_examples=100, deadline=None)
def test_murmur_equals_its_definition(words, buckets):
    hashed = hashing.hash_strings(*bounds(words), buckets, False)
    assert hashed.tolist() == [murmur64(word) % buckets for word in words]


FARM_LENGTHS = {
    0: 11160318154034397263,
    1: 15861341763280603057,
    3: 7546428928330793978,
    4: 14261215076641730324,
    7: 5708720469046736400,
    8: 13844512060292010295,
    16: 3102888271206580940,
    17: 7339646707805498636,
    32: 18388226423500870698,
    33: 17843019719498681002,
    64: 17632506284961212308,
    65: 12585803947950740369,
    127: 1630211904848230242,
    128: 3633509946935312958,
    129: 11639666682677016256,
    256: 14695064932542182610,
    641: 17199691900255336130,
}


@pytest.mark.parametrize("size", FARM_LENGTHS)
def test_farm_hash_equals_the_reference_library(size):
    """Values made with the FarmHash library, Fingerprint64."""
    word = "".join(chr(97 + (size * 7 + j * 3) % 26) for j in range(size)).encode()
    data, starts, ends = bounds([b"other", word])
    assert int(hashing.farm64(data, starts[1], ends[1])) % 2**64 == FARM_LENGTHS[size]


def test_farm_hash_equals_published_fingerprints():
    """FARM_FINGERPRINT examples of the BigQuery manual, as signed numbers."""
    data, starts, ends = bounds([b"1footrue", b"2applefalse", b"3true"])
    found = [int(hashing.farm64(data, s, e)) % 2**64 for s, e in zip(starts, ends, strict=True)]
    wanted = [-1541654101129638711, 2794438866806483259, -4880158226897771312]
    assert found == [value % 2**64 for value in wanted]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_integers_hash_as_their_decimal_text(values, farm):
    text = bounds([str(value).encode() for value in values])
    of_ints = hashing.hash_ints(np.array(values, np.int64), 1_000_003, farm)
    assert of_ints.tolist() == hashing.hash_strings(*text, 1_000_003, farm).tolist()


@given(st.lists(st.binary(max_size=6), max_size=60), st.lists(st.binary(max_size=6), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_table_finds_the_last_of_equal_words(words, asked):
    asked = asked + words[:10]
    data, _, ends = bounds(words)
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    table = hashing.build_table(data, offsets, 1 << (2 * len(words) + 1).bit_length())
    wanted = [max((at for at, known in enumerate(words) if known == word), default=-1) for word in asked]
    assert hashing.look_up(table, data, offsets, *bounds(asked)).tolist() == wanted
