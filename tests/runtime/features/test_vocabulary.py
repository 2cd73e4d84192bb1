"""Indices of words: lists, dicts and files, with and without a default index."""

import pytest

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import vocabulary
from tzx.runtime.features.ragged import Strings


def indices(words: vocabulary.Vocabulary, *asked: str) -> list[int]:
    return words.look_up(Strings.of([word.encode() for word in asked])).tolist()


def test_list_keeps_two_places():
    words = vocabulary.from_list(["a", "b"], "missing", None)
    assert indices(words, "missing", "<OOV>", "a", "b", "zz", "") == [0, 1, 2, 3, 1, 1]
    assert words.rows == 4


def test_list_with_default_index_is_used_as_it_is():
    words = vocabulary.from_list(["a", "b"], "missing", 1)
    assert indices(words, "a", "b", "missing") == [0, 1, 1]
    assert words.rows == 2


def test_last_of_equal_words_wins():
    assert indices(vocabulary.from_list(["a", "b", "a"], "", None), "a") == [4]
    assert indices(vocabulary.from_list(["a", "b"], "a", None), "a") == [2]


def test_dict_gives_the_default_value_index_0():
    words = vocabulary.from_dict({"a": 2, "b": 5}, "a", None)
    assert indices(words, "a", "b", "zz") == [0, 5, 1]
    assert words.rows == 6
    assert indices(vocabulary.from_dict({"a": 2}, "", None), "", "a") == [1, 2]
    assert vocabulary.from_dict({"a": 0}, "", None).rows == 2


def test_dict_with_default_index():
    words = vocabulary.from_dict({"a": 2, "b": 0}, "a", 0)
    assert indices(words, "a", "b", "zz") == [2, 0, 0]
    assert words.rows == 3


@pytest.mark.parametrize(
    ("content", "asked", "expected", "rows"),
    [
        (b"x\ny\nz\n", ["x", "z", "?"], [0, 2, 1], 3),
        (b"x\r\ny", ["x", "y"], [0, 1], 2),
        (b"x 5\ny 0\n", ["x", "y", "?"], [5, 0, 1], 6),
        (b"x\t5\ny\t0\n", ["x", "y"], [5, 0], 6),
        (b"new york 3\nrome 1\n", ["new york", "rome"], [3, 1], 4),
        (b"new york\nrome 1\n", ["new york", "rome 1"], [0, 1], 2),
        (b"a\n\nb\n", ["a", "", "b"], [0, 1, 2], 3),
        ("\u00e9\n\u4e2d\n".encode(), ["\u00e9", "\u4e2d"], [0, 1], 2),
    ],
)
def test_files(content, asked, expected, rows):
    words = vocabulary.from_file(content, 1)
    assert indices(words, *asked) == expected
    assert words.rows == rows


def test_refused_files():
    with pytest.raises(ConfigError, match="is empty"):
        vocabulary.from_file(b"", 0)
    with pytest.raises(ConfigError, match="default_bucketize_value is 3; with 2 rows"):
        vocabulary.from_file(b"a\nb\n", 3)


def test_asset_dir_is_joined(tmp_path):
    (tmp_path / "words").write_bytes(b"a\n")
    assert vocabulary.read_asset("words", str(tmp_path)) == b"a\n"
    assert vocabulary.read_asset(f"file://{tmp_path}/words") == b"a\n"
    with pytest.raises(ConfigError, match="cannot read"):
        vocabulary.read_asset("nothing", str(tmp_path))
    with pytest.raises(ConfigError, match="cannot read"):
        vocabulary.read_asset(f"file://{tmp_path}/nothing")


def test_many_words():
    words = vocabulary.from_list([f"word{i}" for i in range(20000)], "", None)
    assert indices(words, "word0", "word19999", "word20000") == [2, 20001, 1]
