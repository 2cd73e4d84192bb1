"""Normalizing text against a loop over its characters."""

import unicodedata

import opencc
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import text_normalizer
from tzx.runtime.features.text_normalizer import HAN, make_text_normalizer
from tzx.runtime.protos import feature_pb2

CONVERTER = opencc.OpenCC("t2s")
NAMES = [name.removeprefix("TEXT_") for name in feature_pb2.TextNormalizeOption.DESCRIPTOR.values_by_name]


def normalizer(*options: str, **rest):
    values = [feature_pb2.TextNormalizeOption.Value(f"TEXT_{name}") for name in options]
    return make_text_normalizer(feature_pb2.TextNormalizer(norm_options=values, **rest))


def normalized(texts: list[str], *options: str, **rest) -> list[str]:
    return normalizer(*options, **rest)(pa.array(texts, pa.large_string())).to_pylist()


def is_han(character: str) -> bool:
    return any(low <= ord(character) < high for low, high in HAN)


def one_character(c: str, options: set[str]) -> str:
    if "SBC2DBC" in options:
        c = " " if c == "\u3000" else chr(ord(c) - 0xFEE0) if "\uff01" <= c <= "\uff5e" else c
    if "CHT2CHS" in options:
        c = CONVERTER.convert(c)
    changed = c.upper() if "LOWER2UPPER" in options else c.lower() if "UPPER2LOWER" in options else c
    c = changed if len(changed) == 1 else c
    if "FILTER" in options and unicodedata.category(c)[0] in "PSC" and not c.isspace():
        return ""
    return "" if "REMOVE_SPACE" in options and c.isspace() else c


def oracle(text: str, options: set[str], max_length: int) -> str:
    if max_length and len(text) > max_length:
        return text
    out = ""
    for c in "".join(one_character(c, options) for c in text):
        apart = out and (is_han(c) or is_han(out[-1])) and c != " " and out[-1] != " "
        out += (" " if apart and "SPLITCHRS" in options else "") + c
    return out


texts = st.text(alphabet="aBß İǅ\u3000\uff21\uff5a\uff3a\uff01é連衣裙臺𠮷,._+\t🎉1\u200d", max_size=10) | st.text(
    st.characters(max_codepoint=0x31FFF, codec="utf-8"), max_size=5
)


CASES = (
    st.lists(texts, max_size=6),
    st.sets(st.sampled_from(NAMES)),
    st.sampled_from([0, 0, 4]),
)


def check_equals_a_loop_over_characters(cells, options, max_length):
    if {"LOWER2UPPER", "UPPER2LOWER"} <= options:
        options.remove("UPPER2LOWER")
    effective = options or {"LOWER2UPPER", "SBC2DBC", "CHT2CHS", "FILTER"}
    expected = [oracle(text, effective, max_length) for text in cells]
    assert normalized(cells, *sorted(options), max_length=max_length) == expected


@given(*CASES)
@settings(max_examples=200, deadline=None)
def test_equals_a_loop_over_characters(cells, options, max_length):
    check_equals_a_loop_over_characters(cells, options, max_length)


@pytest.mark.slow
@given(*CASES)
@settings(max_examples=2000, deadline=None)
def test_equals_a_loop_over_characters_many_times(cells, options, max_length):
    check_equals_a_loop_over_characters(cells, options, max_length)


def test_examples():
    assert normalized(["\uff21bc\uff0c連衣裙\uff01 (x)"]) == ["ABC连衣裙 X"]
    assert normalized(["ABC efg"], "UPPER2LOWER") == ["abc efg"]
    assert normalized(["红色dress 2件"], "SPLITCHRS") == ["红 色 dress 2 件"]
    assert normalized(["a b\tc"], "REMOVE_SPACE") == ["abc"]
    assert normalized([]) == []
    # Behind the last script nothing changes.
    assert normalized(["a\U000e0001\U0010ffff", "b"]) == ["A\U000e0001\U0010ffff", "B"]


def test_a_slice_of_an_array():
    array = pa.array(["xx", "aé", "裙b", "yy"], pa.large_string())[1:3]
    assert normalizer("LOWER2UPPER")(array).to_pylist() == ["AÉ", "裙B"]


def test_stop_characters(tmp_path):
    file = tmp_path / "stop.txt"
    file.write_text("a\r\n的!\n")
    rest = {"stop_char_file": str(file)}
    assert normalized(["banana, 我的!"], "FILTER", **rest) == ["bnn, 我"]
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"stop_char_file '.*stop.txt' is not UTF-8"):
        normalizer("FILTER", **rest)
    with pytest.raises(ConfigError, match="cannot read"):
        normalizer("FILTER", stop_char_file=str(tmp_path / "none"))


def test_both_cases_exclude_each_other():
    with pytest.raises(ConfigError, match="both TEXT_LOWER2UPPER and TEXT_UPPER2LOWER"):
        normalizer("LOWER2UPPER", "UPPER2LOWER")


def test_without_opencc(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opencc", None)
    text_normalizer._simplified.cache_clear()
    text_normalizer._table.cache_clear()
    with pytest.raises(ConfigError, match=r"needs the package opencc; pip install 'tzx\[text\]'"):
        normalizer()
    assert normalized(["連"], "UPPER2LOWER") == ["連"]
