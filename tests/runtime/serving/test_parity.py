"""The check at export notices what differs, and only that."""

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.serving.parity import ParityError, check_parity

ROWS = pa.table({"x": np.linspace(-2, 2, 20)})


class Model:
    """Scores x by a function; remembers the batch sizes it saw."""

    def __init__(self, score) -> None:
        self.score = score
        self.sizes: list[int] = []

    def predict(self, rows):
        self.sizes.append(rows.num_rows)
        return {"y": self.score(rows["x"].to_numpy()).astype(np.float32)}


def test_equal_models_pass_at_several_batch_sizes():
    exported = Model(np.exp)
    result = check_parity(Model(np.exp), exported, ROWS)
    assert result == {"rows": 20, "tolerance": 1e-5, "max_difference": {"y": 0.0}}
    assert exported.sizes == [1, 7, 20]


def test_a_model_that_predicts_nan_is_told(caplog):
    check_parity(Model(np.exp), Model(np.exp), ROWS)
    assert not caplog.records
    broken = lambda x: np.where(x > 0, np.nan, x)  # noqa: E731
    check_parity(Model(broken), Model(broken), ROWS)
    assert "the trained model itself predicts NaN on real rows: y" in caplog.text


def test_small_differences_are_reported_and_pass():
    result = check_parity(Model(np.exp), Model(lambda x: np.exp(x) + 4e-6), ROWS)
    assert 1e-6 < result["max_difference"]["y"] < 1e-5


@pytest.mark.parametrize(
    "other",
    [
        lambda x: np.exp(x) + 2e-5,
        lambda x: np.where(np.arange(len(x)) == len(x) - 1, np.nan, np.exp(x)),
        lambda x: np.exp(x)[:, None],
        lambda x: np.where(x > 1, np.inf, np.exp(x)),
        lambda x: np.exp(x) if len(x) != 7 else np.exp(x) + 1,
    ],
)
def test_differences_fail(other):
    with pytest.raises(ParityError, match=r"nothing was exported: on 20 real rows .*y differs by"):
        check_parity(Model(np.exp), Model(other), ROWS)


def test_large_values_are_compared_relatively():
    big = Model(lambda x: 1e6 * np.exp(x))
    check_parity(big, Model(lambda x: 1e6 * np.exp(x) * (1 + 1e-6)), ROWS)
    with pytest.raises(ParityError):
        check_parity(big, Model(lambda x: 1e6 * np.exp(x) * (1 + 1e-4)), ROWS)


def test_not_a_number_in_the_same_place_is_equal():
    score = Model(lambda x: np.where(x > 0, np.nan, np.where(x < -1, np.inf, x)))
    assert check_parity(score, score, ROWS)["max_difference"] == {"y": 0.0}
