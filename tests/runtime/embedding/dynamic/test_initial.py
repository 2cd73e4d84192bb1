"""Where rows of new ids start."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.embedding.dynamic.initial import (
    Initial,
    initial_of_args,
    initial_of_text,
    initial_rows,
    table_seed,
)
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.feature_pb2 import DynamicEmbInitializerArgs

IDS = np.random.default_rng(0).integers(-(2**62), 2**62, 5000)


def args(text: str) -> DynamicEmbInitializerArgs:
    return text_format.Parse(text, DynamicEmbInitializerArgs())


@pytest.mark.parametrize(
    ("initial", "mean", "std", "low", "high"),
    [
        (Initial("uniform", -1.0, 3.0), 1.0, 4 / 12**0.5, -1.0, 3.0),
        (Initial("normal", mean=2.0, std=0.5), 2.0, 0.5, -2.0, 6.0),
        # A normal distribution cut at two deviations has 0.8796 of its deviation.
        (Initial("truncated", -1.0, 1.0, mean=0.0, std=0.5), 0.0, 0.5 * 0.8796, -1.0, 1.0),
        (Initial("constant", mean=7.0), 7.0, 0.0, 7.0, 7.0),
    ],
)
def test_distributions(initial: Initial, mean: float, std: float, low: float, high: float) -> None:
    values = initial_rows(initial, IDS, 5, range(16))
    assert values.shape == (5000, 16) and values.dtype == torch.float32
    assert float(values.mean()) == pytest.approx(mean, abs=0.02)
    assert float(values.std()) == pytest.approx(std, abs=0.02)
    assert low <= float(values.min()) and float(values.max()) <= high


def test_a_number_follows_from_seed_id_and_column_alone() -> None:
    initial = Initial("normal", std=1.0)
    whole = initial_rows(initial, IDS, 5, range(16))
    assert torch.equal(initial_rows(initial, IDS[100:200], 5, range(4, 12)), whole[100:200, 4:12])
    assert not torch.equal(initial_rows(initial, IDS, 6, range(16)), whole)
    assert table_seed(1, "a") != table_seed(1, "b") and table_seed(1, "a") != table_seed(2, "a")
    gaps = torch.corrcoef(whole.T) - torch.eye(16)
    assert float(gaps.abs().max()) < 0.08, "columns depend on each other"


def test_from_init_fn() -> None:
    assert initial_of_text("", 100) == Initial("uniform", -0.1, 0.1)
    assert initial_of_text("nn.init.uniform_,a=-0.5,b=0.25", 100) == Initial("uniform", -0.5, 0.25)
    assert initial_of_text("nn.init.normal_,std=0.01", 100) == Initial("normal", mean=0.0, std=0.01)
    assert initial_of_text("nn.init.trunc_normal_", 100) == Initial("truncated", -2.0, 2.0, 0.0, 1.0)
    assert initial_of_text("nn.init.ones_", 100) == Initial("constant", mean=1.0)
    assert initial_of_text("nn.init.zeros_", 100) == Initial("constant", mean=0.0)
    assert initial_of_text("nn.init.constant_,val=3", 100) == Initial("constant", mean=3)
    with pytest.raises(ConfigError, match=r"xavier_uniform_.* start one at a time"):
        initial_of_text("nn.init.xavier_uniform_", 100)


def test_from_initializer_args() -> None:
    assert initial_of_args(args(""), 100, 4) is None
    assert initial_of_args(args('mode: "UNIFORM"'), 100, 4) == Initial("uniform", -0.1, 0.1)
    assert initial_of_args(args('mode: "UNIFORM" lower: 0 upper: 1'), 100, 4) == Initial("uniform", 0.0, 1.0)
    assert initial_of_args(args('mode: "NORMAL"'), 100, 4) == Initial("normal", mean=0.0, std=0.5)
    assert initial_of_args(args('mode: "TRUNCATED_NORMAL" mean: 1'), 100, 4) == Initial("truncated", 0.0, 2.0, 1.0, 0.5)
    assert initial_of_args(args('mode: "CONSTANT" value: 0.5'), 100, 4) == Initial("constant", mean=0.5)
