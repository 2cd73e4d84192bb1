import math

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.optimizer_pb2 import DenseOptimizer
from tzx.runtime.training.schedules import make_schedule


def schedule(text: str, base_lr: float = 0.1):
    return make_schedule(text_format.Parse(text, DenseOptimizer()), base_lr)


def test_constant_and_unset_keep_the_base_rate():
    for text in ("", "constant_learning_rate {}"):
        at, by_epoch = schedule(text)
        assert (at(0), at(10_000), by_epoch) == (0.1, 0.1, False)


def test_exponential_decays_in_stairs_down_to_the_minimum():
    at, _ = schedule("exponential_decay_learning_rate { decay_size: 10 decay_factor: 0.5 min_learning_rate: 0.02 }")
    assert [at(s) for s in (0, 9, 10, 25)] == pytest.approx([0.1, 0.1, 0.05, 0.025])
    assert at(1000) == pytest.approx(0.02)


def test_exponential_without_stairs_is_smooth_after_a_linear_warmup():
    at, _ = schedule(
        "exponential_decay_learning_rate { decay_size: 10 decay_factor: 0.5 staircase: false "
        "warmup_size: 4 warmup_learning_rate: 0.02 }"
    )
    assert [at(s) for s in (0, 2, 4, 9)] == pytest.approx([0.02, 0.06, 0.1, 0.1 * 0.5**0.5])


def test_manual_steps_take_effect_after_their_boundary():
    at, _ = schedule("manual_step_learning_rate { schedule_sizes: [10, 20] learning_rates: [0.05, 0.01] }")
    assert [at(s) for s in (0, 10, 11, 20, 21)] == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.01])


def test_manual_warmup_is_linear_to_the_first_rate():
    at, _ = schedule("manual_step_learning_rate { schedule_sizes: [10] learning_rates: [0.5] warmup: true }")
    assert [at(s) for s in (0, 5, 10)] == pytest.approx([0.1, 0.3, 0.5])


def test_cosine_reaches_the_minimum_and_stays():
    at, _ = schedule("cosine_annealing_learning_rate { T_max: 10 min_learning_rate: 0.02 }")
    assert [at(s) for s in (0, 5, 10, 50)] == pytest.approx([0.1, 0.06, 0.02, 0.02])


def test_warm_restarts_lengthen_their_period():
    at, _ = schedule("cosine_annealing_warm_restarts_learning_rate { T_0: 4 T_mult: 2 }")
    expected = [0.05 * (1 + math.cos(math.pi * t / period)) for t, period in ((0, 4), (3, 4), (0, 8), (7, 8), (0, 16))]
    assert [at(s) for s in (0, 3, 4, 11, 12)] == pytest.approx(expected)


def test_by_epoch_is_reported_and_zero_stays_zero():
    assert schedule("cosine_annealing_learning_rate { T_max: 3 by_epoch: true }")[1] is True
    at, _ = schedule("cosine_annealing_learning_rate { T_max: 3 min_learning_rate: 0.5 }", base_lr=0.0)
    assert at(2) == 0.0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("exponential_decay_learning_rate {}", "decay_size"),
        ("cosine_annealing_learning_rate {}", "T_max"),
        ("cosine_annealing_warm_restarts_learning_rate {}", "T_0"),
        ("manual_step_learning_rate { schedule_sizes: 1 }", "1 schedule_sizes but 0 learning_rates"),
    ],
)
def test_missing_periods_are_config_errors(text, names):
    with pytest.raises(ConfigError, match=names):
        schedule(text)


@given(st.integers(0, 500), st.floats(0.001, 1), st.integers(1, 50), st.integers(0, 20))
def test_annealed_rates_stay_between_minimum_and_base(step, base, period, warmup):
    text = f"cosine_annealing_learning_rate {{ T_max: {period} warmup_size: {warmup} }}"
    at, _ = schedule(text, base)
    assert 0 <= at(step) <= base + 1e-12
