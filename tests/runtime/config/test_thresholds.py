"""Reading of `threshold_filtering_func`."""

import pytest

from tzx.runtime.config.thresholds import Threshold, parse_threshold
from tzx.runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("lambda x: (x > 10, 10)", "count", 11),
        ("lambda counts: (counts >= 10, 10)", "count", 10),
        ("lambda x: (x > 2.5, 2.5)", "count", 3),
        ("lambda x: (x >= 2.5, 2.5)", "count", 3),
        ("average_threshold_filter", "mean", 1),
        ("lambda x: average_threshold_filter(x)", "mean", 1),
        ("dynamic_threshold_filter", "mean", 10),
        ("partial(dynamic_threshold_filter, threshold_skew_multiplier=1.5)", "mean", 1.5),
        ("lambda x: dynamic_threshold_filter(x, 2)", "mean", 2),
        ("probabilistic_threshold_filter", "chance", 0.01),
        ("lambda x: probabilistic_threshold_filter(x, 0.05)", "chance", 0.05),
        (" lambda x: probabilistic_threshold_filter(x, per_id_probability=0.05) ", "chance", 0.05),
    ],
)
def test_forms(text: str, kind: str, value: float) -> None:
    assert parse_threshold(text) == Threshold(kind, value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lambda x: (x > y, 1)", "none of the forms"),
        ("lambda x: x > 1", "none of the forms"),
        ("lambda x: (x < 1, 1)", "none of the forms"),
        ("lambda x, y: (x > 1, 1)", "none of the forms"),
        ("lambda *x: (x > 1, 1)", "none of the forms"),
        ("lambda x: (x > True, 1)", "none of the forms"),
        ("lambda x: (x > 1e999, 1)", "none of the forms"),
        ("__import__('os').system('true')", "none of the forms"),
        ("lambda x: __import__('os').system(x)", "none of the forms"),
        ("lambda x: eval(x)", "'eval' is not known"),
        ("1 +", "none of the forms"),
        ("(" * 500, "none of the forms"),
        ("avrage_threshold_filter", "did you mean .average_threshold_filter"),
        ("lambda x: average_threshold_filter(x, 3)", "takes no arguments"),
        ("partial(dynamic_threshold_filter, skew=2)", "takes threshold_skew_multiplier"),
        ("partial(dynamic_threshold_filter, threshold_skew_multiplier=-1)", "must not be negative"),
        ("lambda x: probabilistic_threshold_filter(x, 1.5)", "above 0 and at most 1"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_threshold(text)
