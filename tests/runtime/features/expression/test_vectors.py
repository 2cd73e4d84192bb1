"""Formulas over vectors: each function against plain Python, lengths that differ, and rnd()."""

import math
import pickle
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.features.expression import ExpressionError, Vectors, parse_expression
from tzx.runtime.features.expression.reductions import REDUCTIONS
from tzx.runtime.features.expression.tree import MOST_SLOTS

A, B = [3.0, -1.0, 2.5], [1.0, 4.0, 0.5]


def vectors(*slots: list[float]) -> Vectors:
    return Vectors(np.array([x for slot in slots for x in slot]), np.array([len(slot) for slot in slots], np.int64))


def over(text: str, fill: float = math.nan, **variables):
    return parse_expression(text, tuple(variables)).over_vectors(variables, fill)


def shown(result) -> list[list[float]]:
    ends = np.cumsum(result.lengths)
    return [result.values[end - size : end].tolist() for size, end in zip(result.lengths, ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("len(a)", 3),
        ("l2_norm(a)", math.hypot(*A)),
        ("squared_norm(a)", sum(x * x for x in A)),
        ("dot(a, b)", sum(x * y for x, y in zip(A, B, strict=True))),
        ("euclid_dist(a, b)", math.dist(A, B)),
        ("corr(a, b)", statistics.correlation(A, B)),
        ("std_dev(a)", statistics.stdev(A)),
        ("pop_std_dev(a)", statistics.pstdev(A)),
        ("variance(a)", statistics.variance(A)),
        ("pop_variance(a)", statistics.pvariance(A)),
        ("reduce_min(a)", min(A)),
        ("reduce_max(a)", max(A)),
        ("reduce_sum(a)", sum(A)),
        ("reduce_mean(a)", statistics.mean(A)),
        ("reduce_prod(a)", math.prod(A)),
        ("reduce_sum(a * b) == dot(a, b)", 1),
        ("reduce_max(a > 2 ? a : 0) + 1", 4),
        ("len(max(a, b)) + len(5)", 4),
    ],
)
def test_vectors_become_numbers(text, expected):
    other = [7.0]
    out = over(text, a=vectors(A, other), b=vectors(B, other))
    assert out.shape == (2,)
    assert out[0] == pytest.approx(expected)


def test_every_function_on_vectors_is_tested_on_single_numbers_too():
    alone = {name: over(f"{name}({', '.join('a' * f.least)})", a=np.array([-3.0]))[0] for name, f in REDUCTIONS.items()}
    zero = {"euclid_dist", "corr", "std_dev", "pop_std_dev", "variance", "pop_variance"}
    special = {"len": 1, "l2_norm": 3, "squared_norm": 9, "dot": 9}
    assert alone == {name: 0 if name in zero else special.get(name, -3) for name in REDUCTIONS}


def test_constant_vectors_have_no_correlation():
    assert over("corr(a, b)", a=vectors([1.0, 1.0]), b=vectors([1.0, 2.0])).tolist() == [0]


def test_operators_work_value_by_value_and_numbers_go_with_every_value():
    a, b, c = vectors([1, 2], [3], [4, 5]), vectors([10, 20], [30, 40], [50]), np.array([100.0, 200.0, 300.0])
    assert shown(over("a + b", a=a, b=b)) == [[11, 22], [33, 43], [54, 55]]
    assert shown(over("-a * c + 1", a=a, c=c)) == [[-99, -199], [-599], [-1199, -1499]]
    assert shown(over("a > 2 ? c : a ^ 2", a=a, c=c)) == [[1, 4], [200], [300, 300]]


def test_the_shorter_of_two_vectors_is_filled_up():
    a, b = vectors([1, 2, 3], [1, 2]), vectors([10, 20], [10, 20, 30])
    assert shown(over("a + b", 5.0, a=a, b=b)) == [[11, 22, 8], [11, 22, 35]]
    assert over("dot(a, b)", 0.0, a=a, b=b).tolist() == [50, 50]
    assert np.isnan(over("dot(a, b)", a=a, b=b)).all()
    assert shown(over("isnan(a + b)", a=a, b=b)) == [[0, 0, 1], [0, 0, 1]]


def test_no_slots_give_no_values():
    empty = vectors()
    assert shown(over("a + 1", a=empty)) == []
    for name, function in REDUCTIONS.items():
        assert over(f"{name}({', '.join('a' * function.least)})", a=empty).shape == (0,)


def test_random_numbers_depend_on_the_values_of_the_row_only():
    a, v = np.linspace(-3, 3, 2000), vectors(*([float(i), float(i + 1)] for i in range(2000)))
    numbers = over("rnd()", a=a, v=v)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert len(np.unique(numbers)) == 2000
    assert abs(numbers.mean() - 0.5) < 0.03
    backwards = over("rnd()", v=vectors(*([float(i), float(i + 1)] for i in reversed(range(2000)))), a=a[::-1].copy())
    np.testing.assert_array_equal(numbers, backwards[::-1])
    assert not (over("rnd() - rnd()", a=a) == 0).any()
    assert over("rnd()", a=vectors([1.0, 2.0])) != over("rnd()", a=vectors([2.0, 1.0]))
    assert over("rnd()", a=np.array([0.0])) == over("rnd()", a=np.array([-0.0]))
    assert 0 <= over("rnd()") < 1


def test_a_formula_survives_pickling():
    formula = parse_expression("a > 1 ? reduce_sum(a) : min(rnd(), -a ^ 2)", ("a",))
    again = pickle.loads(pickle.dumps(formula))
    assert again == formula
    a = vectors([1.0, 2.0], [3.0])
    assert shown(again.over_vectors({"a": a})) == shown(formula.over_vectors({"a": a}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dot(a)", "dot takes 2 arguments, 1 given at position 1"),
        ("rnd(a)", "rnd takes no arguments, 1 given at position 1"),
        ("1 + reduce_sun(a)", "unknown function 'reduce_sun'; did you mean 'reduce_sum'? at position 5"),
        ("a + rmd()", "unknown function 'rmd'; did you mean 'rnd'? at position 5"),
        ("a" * 10_001, "the formula has 10001 characters; at most 10000 are allowed"),
    ],
)
def test_errors(text, problem):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text, ("a",))
    assert problem in str(caught.value)


slots = st.lists(st.lists(st.sampled_from([-2.0, 0.0, 0.5, 3.0]), min_size=1, max_size=4), min_size=1, max_size=5)


@given(st.data(), slots)
@settings(max_examples=200, deadline=None)
def test_a_slot_does_not_see_its_neighbours(data, first):
    text = data.draw(
        st.sampled_from(
            ["a + b", "dot(a, b) * a", "max(a, b) ^ 2", "a < b ? a : 1", "corr(a, b)", "variance(a) / len(b)", "rnd()"]
        )
    )
    second = data.draw(st.lists(st.sampled_from(first), min_size=len(first), max_size=len(first)))
    together = over(text, 1.0, a=vectors(*first), b=vectors(*second))
    alone = [over(text, 1.0, a=vectors(a), b=vectors(b)) for a, b in zip(first, second, strict=True)]
    if isinstance(together, Vectors):
        assert shown(together) == [shown(one)[0] for one in alone]
    else:
        np.testing.assert_array_equal(together, [one[0] for one in alone])


@pytest.mark.parametrize("text", ["a > 0 && b < 0.5 ? log(a) * b : rnd()", "len(a) + reduce_sum(b) / 3", "2 + 3", "a"])
def test_many_slots_equal_few_at_a_time(text):
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 3 * MOST_SLOTS + 5))
    whole = np.broadcast_to(over(text, a=a, b=b), a.shape)
    parts = [
        np.broadcast_to(over(text, a=a[i : i + 7], b=b[i : i + 7]), a[i : i + 7].shape) for i in range(0, len(a), 7)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("condition", ["a", "a < b", "a && b", "(a < b) || 1 - c", "(a > b) * 2", "a < v", "v || a"])
def test_choosing_by_any_truth(condition):
    values = {"a": np.array([0.0, 1.0, np.nan, -2.0]), "b": np.array([1.0, 0.0, 0.0, np.nan]), "c": np.array(1.0)}
    values["v"] = vectors([0.0], [2.0, 0.0], [np.nan], [1.0])
    chosen = over(f"({condition}) ? 1 : 0", **values)
    number = over(f"({condition}) != 0", **values)
    if isinstance(chosen, Vectors):
        chosen, number = chosen.values, number.values
    assert chosen.tolist() == number.tolist()
