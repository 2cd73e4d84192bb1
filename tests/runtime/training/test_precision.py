"""Clipping against torch's norms, what tables see of a loss scale, and the warning about slow half precision."""

import logging

import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.train_pb2 import GradClipping
from tzx.runtime.training import precision


def clipped(text, *gradients):
    parameters = [torch.nn.Parameter(torch.zeros(len(g))) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    precision.clip_gradients(text_format.Parse(text, GradClipping()), parameters)
    return [parameter.grad.tolist() for parameter in parameters]


def test_a_norm_is_that_of_all_gradients_together():
    found = clipped('clipping_type: "norm" max_gradient: 1', [3.0], [4.0, 0.0])
    assert found[0] == pytest.approx([0.6], abs=1e-5) and found[1] == pytest.approx([0.8, 0.0], abs=1e-5)
    assert clipped('clipping_type: "norm" max_gradient: 10', [3.0], [4.0]) == [[3.0], [4.0]]
    assert clipped('clipping_type: "norm" max_gradient: 2 norm_type: inf', [3.0], [4.0])[1] == pytest.approx([2.0])


def test_values_are_clipped_one_by_one():
    assert clipped('clipping_type: "value" max_gradient: 1', [3.0, -0.5], [-4.0]) == [[1.0, -0.5], [-1.0]]
    assert clipped('clipping_type: "none"', [3.0]) == [[3.0]]
    with pytest.raises(ConfigError, match="choose norm, value or none"):
        clipped('clipping_type: "norms"', [3.0])


@pytest.mark.parametrize(("half", "warns"), [(0.05, True), (0.0005, False)])
def test_half_precision_that_is_slower_here_is_said(monkeypatch, caplog, half, warns):
    monkeypatch.setattr(precision, "_seconds", lambda dtype: 0.001 if dtype == torch.float32 else half)
    with caplog.at_level(logging.WARNING, "tzx"):
        precision.warn_if_slower("BF16", torch.device("cpu"))
        precision.warn_if_slower("", torch.device("cpu"))
    assert ("BF16 is 50 times slower than float32 on this CPU" in caplog.text) == warns


def test_the_measurement_is_of_this_machine():
    assert 0 < precision._seconds(torch.float32) < 1
