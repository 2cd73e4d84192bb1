"""RegexReplace against Python's re, on patterns that both read alike: \\w is ASCII in RE2."""

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError, DataError

PATTERNS = {r"[0-9]+": "#", "a|bc": "", r"(\w)-(\w)": r"\2+\1", "x$": "y", "裙": "dress"}


def config(pattern: str, replacement: str, rest: str = "hash_bucket_size: 1000", key: str = "regex_patten") -> str:
    fields = "".join(
        f"fields {{ key: {quote(name)} value {{ string_value: {quote(value)} }} }} "
        for name, value in ((key, pattern), ("replacement", replacement))
    )
    return (
        f'custom_feature {{ feature_name: "f" operator_name: "RegexReplace" operator_lib_file: "x.so" expression: '
        f'"item:t" operator_params {{ {fields} }} embedding_dim: 4 default_value: "" {rest} }}'
    )


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


texts = st.text(alphabet="abcx-12裙 \x1d", max_size=8)


CASES = (
    st.sampled_from(sorted(PATTERNS)),
    # Equal texts are looked at once where there are many of them.
    st.builds(lambda cells, times: cells * times, st.lists(st.none() | texts | st.lists(texts, max_size=3), min_size=1),
              st.sampled_from([1, 4])),
)  # fmt: skip


def check_equals_re(run, slots, pattern, cells):
    replacement = PATTERNS[pattern]
    lists = any(isinstance(cell, list) for cell in cells)
    if lists:
        cells = [[cell] if isinstance(cell, str) else cell for cell in cells]
    expected = []
    for cell in cells:
        whole = [cell] if isinstance(cell, str) else cell or []
        expected.append([re.sub(pattern, replacement, word, flags=re.ASCII) for word in whole if word])
    words = sorted({word for row in expected for word in row if word})
    vocabulary = "".join(f"vocab_list: {quote(word)} " for word in [*words, "none"]) + "default_bucketize_value: 0"
    column = pa.array(cells, pa.list_(pa.string()) if lists else pa.string())
    made = run(config(pattern, replacement, f"value_dim: 0 {vocabulary}"), t=column)
    assert slots(made) == [[words.index(word) for word in row if word] for row in expected]


@given(*CASES)
@settings(max_examples=80, deadline=None)
def test_equals_re(run, slots, pattern, cells):
    check_equals_re(run, slots, pattern, cells)


@pytest.mark.slow
@given(*CASES)
@settings(max_examples=2000, deadline=None)
def test_equals_re_many_times(run, slots, pattern, cells):
    check_equals_re(run, slots, pattern, cells)


def test_the_other_spelling_and_numbers(run):
    text = config("[^0-9.]", "", 'boundaries: 1 boundaries: 2.5 default_value: "0"', "regex_pattern").replace(
        'default_value: "" ', ""
    )
    assert run(text, t=["2.5 kg", "kg", None, "1.0"]).values.tolist() == [2, 0, 0, 1]
    with pytest.raises(DataError, match=r"feature 'f', column 't', row 1.*'1.2.3' is not a number"):
        run(text, t=["1", "1.2.3"])


def test_one_value_per_element(make_features):
    member = config("-.*", "", "num_buckets: 50").replace('default_value: ""', 'default_value: "7"')
    features = make_features(
        "FG_DAG", f'sequence_feature {{ sequence_name: "s" sequence_length: 2 features {{ {member} }} }}'
    )
    made = features.generate(pa.record_batch({"s__t": ["4-x;-y;6", None]}))["s__f"]
    assert (made.values.tolist(), made.seq_lengths.tolist()) == ([4, 7, 7], [2, 1])


def test_text_that_is_no_utf8(run):
    with pytest.raises(DataError) as caught:
        run(config("a", "b"), t=pa.array([b"a", b"\xff"]))
    assert "feature 'f', column 't', row 1 of the batch: '\\\\xff' is not UTF-8" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (config("(", "x"), "pattern '(' with replacement 'x': missing )"),
        (config("a", r"\1"), r"pattern 'a' with replacement '\\1'"),
        (
            config("a", "b", key="regex_pattrn"),
            "operator_params needs regex_pattern; did you mean it by 'regex_pattrn'?",
        ),
        (config("a", "b").replace("item:t", 'item:t" expression: "item:u'), "takes one input, 2 given"),
        (config("a", "b").replace('string_value: "a"', "number_value: 1"), "regex_pattern must be a text"),
    ],
)
def test_config_errors(make_features, text, problem):
    with pytest.raises(ConfigError) as caught:
        make_features("FG_NORMAL", text)
    assert problem in str(caught.value)
