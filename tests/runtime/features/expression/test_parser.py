"""Formulas: values against Python's math, grouping, and the errors a user sees."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.features.expression import ExpressionError, parse_expression
from tzx.runtime.features.expression.functions import FUNCTIONS

X = 0.75


def value(text: str, **variables: float) -> float:
    arrays = {name: np.array([number]) for name, number in variables.items()}
    return float(np.ravel(parse_expression(text, variables)(arrays))[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("8-2-1", 5),
        ("8/4/2", 1),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("2^-1", 0.5),
        ("2*-3", -6),
        ("--1", 1),
        ("1 < 2", 1),
        ("1 >= 2", 0),
        ("1 == 1 && 2 != 2", 0),
        ("0 | 3", 1),
        ("0 || 0", 0),
        ("1 & 0.5", 1),
        ("1 || 0 && 0", 1),
        ("1 < 2 == 1", 1),
        ("x > 0 ? 10 : 20", 10),
        ("x < 0 ? 10 : x < 1 ? 20 : 30", 20),
        ("1e-3 * 2E3 + .5", 2.5),
        ("_pi", math.pi),
        ("_e ^ 2", math.e**2),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("rint(2.5)", 2),
        ("roundp(3.14159, 2)", 3.14),
        ("mod(7, 3)", 1),
        ("mod(-7, 3)", -1),
        ("trunc(-1.7)", -1),
        ("min(3, 1, 2)", 1),
        ("max(3, 1, 2)", 3),
        ("sum(1, 2, 3)", 6),
        ("avg(1, 2, 3)", 2),
        ("sigmoid(0)", 0.5),
        ("isnan(0/0)", 1),
        ("isnan(1)", 0),
        ("sign(-3)", -1),
    ],
)
def test_values(text, expected):
    assert value(text, x=X) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name",
    [
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "atanh",
        "exp",
        "sqrt",
        "log2",
        "log10",
        "floor",
        "ceil",
        "trunc",
    ],
)
def test_functions_equal_those_of_math(name):
    assert value(f"{name}(x)", x=X) == pytest.approx(getattr(math, name)(X))


def test_names_that_math_spells_differently():
    assert value("acosh(x)", x=1.5) == pytest.approx(math.acosh(1.5))
    assert value("log(x)", x=X) == value("ln(x)", x=X) == pytest.approx(math.log(X))
    assert value("abs(x)", x=-X) == X


def test_distance_between_two_cities():
    beijing_shanghai = value("sphere_dist(116.4074, 39.9042, 121.4737, 31.2304)")
    assert beijing_shanghai == pytest.approx(1067, abs=2)
    assert value("haversine(1, 2, 1, 2)") == 0


def test_arrays_broadcast_and_domain_errors_are_numbers():
    formula = parse_expression("log(a) + b", ("a", "b"))
    with np.errstate(all="raise"):
        out = formula({"a": np.array([1.0, 0.0, -1.0]), "b": np.array([2.0])})
    assert out[:2].tolist() == [2.0, -math.inf]
    assert math.isnan(out[2])
    assert formula.variables == ("a", "b")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a value, found 'end of the formula' at position 1"),
        ("1 +", "expected a value, found 'end of the formula' at position 4"),
        ("1 + * 2", "expected a value, found '*' at position 5"),
        ("(1", "expected ')', found 'end of the formula' at position 3"),
        ("1 2", "unexpected '2' at position 3"),
        ("x ? 1", "expected ':', found 'end of the formula'"),
        ("sqr(x)", "unknown function 'sqr'; did you mean 'sqrt'? at position 1"),
        ("1 + xx", "unknown name 'xx'; did you mean 'x'? at position 5"),
        ("min()", "min takes 1 or more arguments, 0 given"),
        ("mod(1)", "mod takes 2 arguments, 1 given"),
        ("sin(1, 2)", "sin takes 1 argument, 2 given"),
        ("x[0]", "unexpected '[' at position 2"),
        ("__import__('os')", 'unexpected "\'"'),
        ("x.real", "unexpected '.'"),
        ("x = 1", "unexpected '='"),
        ("(" * 100 + "1" + ")" * 100, "nested more than"),
        ("2^" * 100 + "1", "nested more than"),
        ("+".join(["1"] * 2000), "at most 500"),
    ],
)
def test_errors_say_where(text, problem):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text, ("x",))
    assert problem in str(caught.value)


def test_long_chains_of_operators_are_fine():
    assert value("+".join(["1"] * 250)) == 250


@given(st.text(alphabet="x01.+-*/^()<>=&|?:, sinmaxe_", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_formula_or_an_error(text):
    try:
        formula = parse_expression(text, ("x",))
    except ExpressionError:
        return
    assert formula({"x": np.array([X])}).dtype == np.float64


def test_every_function_takes_arrays():
    for name, function in FUNCTIONS.items():
        arguments = ", ".join(["x"] * function.least)
        assert parse_expression(f"{name}({arguments})", ("x",))({"x": np.array([0.5, 0.25])}).shape == (2,)


def test_every_precedence_level_binds_as_documented():
    """The levels of the compatible system: each operator of a level before those of all lower levels."""
    levels = [("||", "|"), ("&&", "&"), ("<=", ">=", "!=", "==", "<", ">"), ("+", "-"), ("*", "/"), ("^",)]
    python = {"||": "or", "|": "or", "&&": "and", "&": "and", "^": "**"}
    variables = {"a": 3.0, "b": 0.5, "c": 2.0}
    for low, high in itertools.combinations(range(len(levels)), 2):
        for weak, strong in itertools.product(levels[low], levels[high]):
            for text in (f"a {weak} b {strong} c", f"a {strong} b {weak} c"):
                expected = eval(" ".join(python.get(word, word) for word in text.split()), {}, variables)
                truth = weak in ("||", "|", "&&", "&")
                assert value(text, **variables) == pytest.approx(float(bool(expected) if truth else expected)), text
