"""Sketches of the feature statistics against exact counts."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.features.ragged import Strings
from tzx.runtime.features.statistics.counting import count_distinct
from tzx.runtime.features.statistics.distinct import KEPT as KEPT_HASHES
from tzx.runtime.features.statistics.distinct import Distinct
from tzx.runtime.features.statistics.frequent import KEPT as KEPT_VALUES
from tzx.runtime.features.statistics.frequent import Frequent
from tzx.runtime.features.statistics.numbers import EXACT, Numbers

RNG = np.random.default_rng(11)


def distinct_of(values: np.ndarray) -> Distinct:
    sketch = Distinct()
    for part in np.array_split(values, 7):
        sketch.add(count_distinct(part).hashes)
    return sketch


def frequent_of(values: np.ndarray, parts: int = 20) -> Frequent:
    sketch = Frequent()
    for part in np.array_split(values, parts):
        counted = count_distinct(part)
        sketch.add(counted.hashes, counted.counts, counted.values)
    return sketch


def numbers_of(values: np.ndarray, parts: int = 20) -> Numbers:
    sketch = Numbers()
    for part in np.array_split(values, parts):
        sketch.add(*np.unique(part, return_counts=True))
    return sketch


def exact_counts(values: np.ndarray) -> dict[str, int]:
    return {str(v): int(n) for v, n in zip(*np.unique(values, return_counts=True), strict=True)}


def stored(sketch):
    """The sketch after a way through a file."""
    return type(sketch).from_json(json.loads(json.dumps(sketch.to_json(), allow_nan=False)))


# ---- distinct


def test_few_distinct_values_are_counted_exactly():
    values = RNG.integers(0, KEPT_HASHES - 1, 20_000)
    sketch = distinct_of(values)
    assert sketch.exact
    assert sketch.estimate == len(np.unique(values))


@pytest.mark.parametrize("number", [3_000, 50_000, 400_000])
def test_many_distinct_values_are_estimated(number: int):
    sketch = distinct_of(RNG.permutation(number).astype(np.int64))
    assert not sketch.exact
    assert abs(sketch.estimate / number - 1) < 5 / math.sqrt(KEPT_HASHES)


def test_merged_sketches_count_the_union():
    values = np.arange(30_000)
    whole, left, right = distinct_of(values), distinct_of(values[:20_000]), distinct_of(values[10_000:])
    left.merge(stored(right))
    assert left.hashes.tolist() == whole.hashes.tolist()


# ---- frequent


@given(st.lists(st.integers(0, 30), max_size=200))
@settings(max_examples=50, deadline=None)
def test_few_values_have_exact_counts(values: list[int]):
    array = np.array(values, np.int64)
    found = frequent_of(array, parts=3).top(100) if values else []
    assert {text: count for text, count, _ in found} == exact_counts(array)
    assert all(missed == 0 for _, _, missed in found)
    assert [count for _, count, _ in found] == sorted((count for _, count, _ in found), reverse=True)


@pytest.mark.parametrize("parts", [1, 13, 60])
def test_counts_of_skewed_values_hold_within_what_they_say(parts: int):
    values = RNG.zipf(1.2, 100_000)
    exact = exact_counts(values)
    found = frequent_of(values, parts).top(50)
    for text, count, missed in found:
        assert count <= exact[text] <= count + missed
    heaviest = sorted(exact, key=lambda text: -exact[text])[:20]
    assert set(heaviest) <= {text for text, _, _ in found}


def test_what_was_forgotten_was_seen_no_more_often_than_the_floor():
    # Every value comes in runs, so that counters have to make room again and again; then one of them returns.
    values = np.concatenate([np.repeat(np.arange(5_000), 3), np.full(4_000, 7)])
    sketch = frequent_of(values, parts=200)
    exact = exact_counts(values)
    kept = {sketch.texts[key] for key in sketch.hashes.tolist()}
    assert max(count for text, count in exact.items() if text not in kept) <= sketch.floor
    assert len(sketch.hashes) <= KEPT_VALUES and len(sketch.texts) <= KEPT_VALUES
    (top, *_) = sketch.top(1)
    assert top[0] == "7" and top[1] <= 4_003 <= top[1] + top[2]


def test_merging_keeps_the_bounds():
    left, right = RNG.zipf(1.3, 50_000), RNG.zipf(1.3, 50_000) + 3
    sketch = frequent_of(left)
    sketch.merge(stored(frequent_of(right)))
    exact = exact_counts(np.concatenate([left, right]))
    for text, count, missed in sketch.top(50):
        assert count <= exact[text] <= count + missed


def test_long_and_broken_texts_are_shown_short():
    words = Strings.of([b"x" * 10_000_000, b"\xff\xfe", b""])
    counted = count_distinct(words)
    sketch = Frequent()
    sketch.add(counted.hashes, counted.counts, counted.values)
    assert {text for text, _, _ in sketch.top(9)} == {"x" * 80 + "...", "\\xff\\xfe", ""}


def test_equal_numbers_and_texts_count_as_one():
    sketch = Distinct()
    for values in (np.array([7, 8]), np.array([7.0, 8.0]), Strings.of([b"7", b"9"])):
        sketch.add(count_distinct(values).hashes)
    assert sketch.estimate == 3


# ---- numbers


@pytest.mark.parametrize("name", ["normal", "lognormal", "uniform", "sorted", "integers", "mostly zero"])
def test_quantiles_and_moments(name: str):
    size = 60_000
    values = {
        "normal": RNG.normal(5, 2, size),
        "lognormal": RNG.lognormal(0, 2, size),
        "uniform": RNG.random(size),
        "sorted": np.sort(RNG.lognormal(0, 1, size)),
        "integers": RNG.integers(0, 100, size).astype(float),
        "mostly zero": np.where(RNG.random(size) < 0.9, 0.0, RNG.random(size)),
    }[name]
    sketch = numbers_of(values)
    assert sketch.exact == (len(np.unique(values)) <= EXACT)
    assert len(sketch.points) <= EXACT
    assert (sketch.count, sketch.low, sketch.high) == (size, values.min(), values.max())
    assert sketch.mean == pytest.approx(values.mean(), rel=1e-9)
    assert sketch.deviation == pytest.approx(values.std(), rel=1e-9)
    ordered = np.sort(values)
    for share in (0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0):
        found = sketch.quantile(share)
        if sketch.exact:
            assert found == np.quantile(values, share, method="inverted_cdf")
            continue
        # What counts is the rank: the number found stands where it should, up to half a percent.
        low, high = np.searchsorted(ordered, [found, found], side="left"), np.searchsorted(ordered, found, side="right")
        assert low[0] / size - 0.005 <= share <= high / size + 0.005, share


def test_parts_merge_to_the_whole():
    values = RNG.integers(0, 500, 10_000).astype(float)
    left, right = numbers_of(values[:3_000]), numbers_of(values[3_000:])
    left.merge(stored(right))
    whole = numbers_of(values)
    assert left.points.tolist() == whole.points.tolist() and left.weights.tolist() == whole.weights.tolist()
    assert left.deviation == pytest.approx(whole.deviation)


def test_nan_and_infinity_are_counted_apart():
    sketch = numbers_of(np.array([1.0, np.nan, np.inf, -np.inf, 0.0, 3.0]), parts=2)
    assert (sketch.count, sketch.nan, sketch.infinite, sketch.zeros) == (3, 1, 2, 1)
    assert sketch.mean == pytest.approx(4 / 3)
    assert stored(sketch).to_json() == sketch.to_json()


def test_no_numbers_at_all():
    sketch = stored(Numbers())
    assert math.isnan(sketch.quantile(0.5))
    assert sketch.summary() == {"count": 0, "nan": 0, "infinite": 0, "zeros": 0}


def test_shares_below_an_edge():
    values = RNG.normal(size=50_000)
    edges = np.array([-5.0, -1.0, 0.0, 1.0, 5.0])
    found = numbers_of(values).below(edges) / len(values)
    assert found == pytest.approx([(values < edge).mean() for edge in edges], abs=0.005)
