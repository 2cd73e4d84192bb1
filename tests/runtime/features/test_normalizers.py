"""Normalizers: formulas, their defaults, and what is refused."""

import numpy as np
import pytest

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.normalizers import parse_normalizer

X = np.array([-1.0, 0.0, 0.5, 10.0, 1000.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("method=log10", [-10, -10, np.log10(0.5), 1, 3]),
        ("method=log10,threshold=1,default=-5", [-5, -5, -5, 1, 3]),
        (" method = log10 , threshold = 10 , default = 0 ", [0, 0, 0, 0, 3]),
        ("method=zscore,mean=1,standard_deviation=2", [-1, -0.5, -0.25, 4.5, 499.5]),
        ("method=minmax,min=-1,max=3", [0, 0.25, 0.375, 2.75, 250.25]),
        ("method=expression,expr=x*2+1", [-1, 1, 2, 21, 2001]),
        ("method=expression,expr=min(max(x, 0), 1) == 1 ? 7 : x", [-1, 0, 0.5, 7, 7]),
        ("method=expression,expr=3", [3, 3, 3, 3, 3]),
    ],
)
def test_values(text, expected):
    normalizer = parse_normalizer(text)
    assert normalizer is not None
    np.testing.assert_allclose(normalizer(X), expected)
    np.testing.assert_allclose(normalizer(X.astype(np.float32)), expected, rtol=1e-6)


def test_none_is_asked_for():
    assert parse_normalizer("") is None
    assert parse_normalizer("  ") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log10", "normalizer method '' is unknown; known are log10, zscore, minmax, expression"),
        ("method=log", "did you mean 'log10'?"),
        ("method=zscore,mean=1", "normalizer needs standard_deviation="),
        ("method=zscore,mean=1,standard_deviation=0", "standard_deviation must not be 0"),
        ("method=minmax,min=2,max=2", "min and max are both 2.0"),
        ("method=minmax,min=a,max=2", "normalizer min: a number is needed"),
        ("method=log10,treshold=1", "normalizer log10 does not know treshold"),
        ("method=expression", "normalizer expression needs expr="),
        ("method=expression,expr=y+1", "unknown name 'y'"),
    ],
)
def test_what_is_refused(text, problem):
    with pytest.raises(ConfigError) as caught:
        parse_normalizer(text)
    assert problem in str(caught.value)
