"""OverlapFeature against Python sets and list searches."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError

WORDS = st.lists(st.sampled_from(["a", "b", "c", "longer than eight"]), max_size=20)


def config(method: str, rest: str = "") -> str:
    return f'overlap_feature {{ feature_name: "f" query: "user:q" title: "item:t" method: "{method}" {rest} }}'


def place(query: list[str], title: list[str]) -> int:
    starts = range(len(title) - len(query) + 1)
    return next((at for at in starts if title[at : at + len(query)] == query), -1)


def cover(wanted: set[str], title: list[str]) -> int:
    runs = (title[a : b + 1] for a in range(len(title)) for b in range(a, len(title)))
    return min(len(run) for run in runs if wanted <= set(run)) if wanted else len(title)


def distances(query: list[str], title: list[str]) -> list[int]:
    """Of every two query words in the title, how near they come; the title's length when there are no two."""
    places = {word: [i for i, w in enumerate(title) if w == word] for word in set(query) & set(title)}
    pairs = combinations(sorted(places), 2)
    return [min(abs(i - j) for i in places[a] for j in places[b]) for a, b in pairs] or [len(title)]


ORACLE = {
    "query_common_ratio": lambda q, t: len(set(q) & set(t)) / len(set(q)),
    "title_common_ratio": lambda q, t: len(set(q) & set(t)) / len(set(t)),
    "is_contain": lambda q, t: float(place(q, t) >= 0),
    "is_equal": lambda q, t: float(q == t),
    "index_of": place,
    "proximity_min_cover": lambda q, t: cover(set(q) & set(t), t),
    "proximity_min_dist": lambda q, t: min(distances(q, t)),
    "proximity_max_dist": lambda q, t: max(distances(q, t)),
    "proximity_avg_dist": lambda q, t: sum(distances(q, t)) / len(distances(q, t)),
}


ROWS = st.lists(st.tuples(st.none() | WORDS, st.none() | WORDS), min_size=1, max_size=6)


@given(ROWS, st.sampled_from(sorted(ORACLE)))
@settings(max_examples=100, deadline=None)
def test_equals_sets_and_searches(run, rows, method):
    kind = pa.list_(pa.string())
    made = run(config(method), q=pa.array([row[0] for row in rows], kind), t=pa.array([row[1] for row in rows], kind))
    wanted = [ORACLE[method](q, t) if q and t else 0 for q, t in rows]
    np.testing.assert_allclose(made.values.ravel(), wanted, rtol=1e-6)


def test_long_repetitive_titles_take_linear_time(run):
    title, query = ["a"] * 200_000, ["a"] * 50_000 + ["b"]
    made = run(config("index_of"), q=pa.array([query]), t=pa.array([title + query]))
    assert made.values.tolist() == [[150_000 + 50_000]]


def test_distances_of_long_queries_take_bounded_time(run):
    long = pa.array([[str(i) for i in range(20_000)]])
    assert run(config("proximity_max_dist"), q=long, t=long).values.tolist() == [[99]]
    assert run(config("proximity_min_cover"), q=long, t=long).values.tolist() == [[20_000]]


def test_sequence_of_titles(run):
    made = run(
        f'sequence_feature {{ sequence_name: "s" sequence_length: 9 features {{ {config("query_common_ratio")} }} }}',
        q=["a\x1db", None],
        s__t=["a;b\x1da;c", "a"],
    )
    assert made.values.ravel().tolist() == [0.5, 1, 0, 0]
    assert made.seq_lengths.tolist() == [3, 1]


def test_unknown_method(run):
    with pytest.raises(ConfigError, match=r"method is 'is_contains'; available are .*did you mean 'is_contain'"):
        run(config("is_contains"), q=["a"], t=["a"])
