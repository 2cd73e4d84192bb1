"""EditDistance against Levenshtein's recursion, over text that may be no UTF-8."""

from functools import lru_cache

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.features.operators.custom import edit_distance


def config(rest: str = "", encoding: str = "utf-8", kind: str = "custom_feature") -> str:
    return (
        f'{kind} {{ feature_name: "f" operator_name: "EditDistance" operator_lib_file: "pyfg/lib/libedit_distance.so" '
        f'operator_params {{ fields {{ key: "encoding" value {{ string_value: "{encoding}" }} }} }} '
        f'expression: "user:q" expression: "item:t" {rest} }}'
    )


def distance(a: bytes | str, b: bytes | str) -> int:
    @lru_cache(None)
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return of(len(a), len(b))


words = st.text(alphabet="ab裙é𝄞\x00", max_size=7) | st.text(max_size=4)
broken = st.binary(max_size=6) | words.map(lambda word: word.encode("utf-8", "surrogatepass")[:-1])


CASES = (
    st.lists(st.tuples(st.none() | words | broken, st.none() | words | broken), min_size=1, max_size=6),
    st.sampled_from(["utf-8", "latin"]),
)


def check_equals_the_recursion(run, pairs, encoding):
    encoded = [
        [word.encode("utf-8", "surrogatepass") if isinstance(word, str) else word for word in pair] for pair in pairs
    ]
    expected = []
    for a, b in encoded:
        if not a or not b:
            expected.append([-1])
        elif encoding == "latin":
            expected.append([distance(a, b)])
        else:
            expected.append([distance(a.decode("utf-8", "surrogateescape"), b.decode("utf-8", "surrogateescape"))])
    columns = {name: pa.array([pair[at] for pair in encoded], pa.binary()) for at, name in enumerate("qt")}
    assert run(config('default_value: "-1"', encoding), **columns).values.tolist() == expected


@given(*CASES)
@settings(max_examples=150, deadline=None)
def test_equals_the_recursion(run, pairs, encoding):
    check_equals_the_recursion(run, pairs, encoding)


@pytest.mark.slow
@given(*CASES)
@settings(max_examples=2000, deadline=None)
def test_equals_the_recursion_many_times(run, pairs, encoding):
    check_equals_the_recursion(run, pairs, encoding)


# Around the length where one word of bits no longer holds a string.
long = st.integers(62, 67).flatmap(lambda size: st.text(alphabet="ab", min_size=size, max_size=size))


@given(long, long)
@settings(max_examples=30, deadline=None)
def test_long_texts(run, a, b):
    columns = {"q": ["x" + a + "y", "y" + b + b], "t": ["y" + b + "x", "x" + a + a]}
    expected = [distance(q, t) for q, t in zip(*columns.values(), strict=True)]
    assert run(config(), **columns).values.ravel().tolist() == expected


def test_separators_are_characters_like_any_other(run):
    assert run(config(), q=["a\x1db"], t=["ab"]).values.tolist() == [[1]]


@pytest.mark.parametrize("mode", ["FG_NORMAL", "FG_DAG"])
def test_elements_are_compared_with_the_text_of_the_row(run, mode):
    made = run(config("sequence_length: 3", kind="sequence_custom_feature"), mode, q=["ab", "x"], t=["ab;b;;c", None])
    assert made.values.ravel().tolist() == [0, 1, 0, 0]
    assert made.seq_lengths.tolist() == [3, 1]


def test_whole_numbers_index_a_table(run, slots):
    made = run(config('embedding_dim: 4 num_buckets: 9 default_value: "8"'), q=["kitten", None], t=["sitting", "a"])
    assert slots(made) == [[3], [8]]


def test_normalized(run):
    made = run(config('normalizer: "method=expression,expr=x>2?2:x"'), q=["kitten"], t=["sitting"])
    assert made.values.tolist() == [[2]]


def test_bucketized_only(run, slots):
    rest = "embedding_dim: 4 boundaries: 1 boundaries: 5"
    assert slots(run(config(rest), "FG_BUCKETIZE", f=["3", None, "7"])) == [[1], [0], [2]]


def test_long_texts_are_refused(run, monkeypatch):
    monkeypatch.setattr(edit_distance, "MAX_CHARACTERS", 5)
    assert run(config(), q=["裙裙裙裙裙"], t=["a"]).values.tolist() == [[5]]
    for q, column in (["a", "t"], ["bbbbbb" * 9, "q"]):
        with pytest.raises(DataError, match=f"feature 'f', column '{column}', row 1.*more than 5 characters"):
            run(config(), q=["a", q], t=["a", "裙" * 6])


def test_several_texts_in_a_row_are_refused(run):
    with pytest.raises(DataError, match=r"column 't', row 1.*2 values where EditDistance takes one"):
        run(config(), q=["a", "a"], t=[["b"], ["b", "c"]])


def test_config_errors(make_features):
    with pytest.raises(ConfigError, match="encoding is 'gbk'; allowed are utf-8 and latin"):
        make_features("FG_NORMAL", config(encoding="GBK"))
    with pytest.raises(ConfigError, match="compares two inputs, 3 given"):
        make_features("FG_NORMAL", config('expression: "user:third"'))
