import pytest
import torch
from google.protobuf import text_format
from torch import nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.optimizer_pb2 import DenseOptimizer
from tzx.runtime.training import optimizers
from tzx.runtime.training.optimizers import build_dense_optimizers


def build(text: str, **parameters: nn.Parameter):
    parameters = parameters or {"a.weight": nn.Parameter(torch.ones(2)), "b.weight": nn.Parameter(torch.ones(3))}
    return build_dense_optimizers(text_format.Parse(text, DenseOptimizer()), parameters.items())


@pytest.mark.parametrize(
    ("text", "cls", "values"),
    [
        ("sgd_optimizer { lr: 0.5 nesterov: true }", torch.optim.SGD,
         {"momentum": pytest.approx(0.9), "nesterov": True}),
        ("adagrad_optimizer { lr: 0.5 initial_accumulator_value: 0.5 }", torch.optim.Adagrad,
         {"initial_accumulator_value": 0.5}),
        ("adam_optimizer { lr: 0.5 beta1: 0.5 amsgrad: true }", torch.optim.Adam,
         {"betas": (0.5, pytest.approx(0.999)), "amsgrad": True}),
        ("adamw_optimizer { lr: 0.5 weight_decay: 0.25 }", torch.optim.AdamW, {"weight_decay": 0.25}),
        ("adadelta_optimizer { lr: 0.5 rho: 0.5 }", torch.optim.Adadelta, {"rho": 0.5}),
        ("rmsprop_optimizer { lr: 0.5 alpha: 0.5 }", torch.optim.RMSprop, {"alpha": 0.5}),
    ],
)  # fmt: skip
def test_every_dense_optimizer_takes_its_fields(text, cls, values):
    (scheduled,) = build(text)
    assert type(scheduled.optimizer) is cls
    group = scheduled.optimizer.param_groups[0]
    assert scheduled.set_lr(step=0, epoch=0) == 0.5 == group["lr"] == scheduled.lr
    assert {key: group[key] for key in values} == values


@pytest.mark.parametrize("which", ["sgd", "adagrad", "adam", "adamw"])
@pytest.mark.parametrize(("device", "text", "expected"), [
    ("cpu", "", True), ("cpu", "fused: false", None), ("meta", "", None), ("meta", "fused: true", True),
])  # fmt: skip
def test_dense_optimizers_are_one_kernel_on_cpu_unless_told_not_to_be(which, device, text, expected, monkeypatch):
    given = []
    for name, cls in optimizers._CLASSES.items():
        monkeypatch.setitem(optimizers._CLASSES, name, lambda p, cls=cls, **options: given.append(options) or cls(p, 1))
    build(f"{which}_optimizer {{ {text} }}", weight=nn.Parameter(torch.ones(2, device=device)))
    assert [options["fused"] for options in given] == [expected]


def test_parts_take_full_matches_first_come_first_served_and_fall_back_to_the_main_schedule():
    main, first, second = build(
        """adam_optimizer { lr: 0.5 } exponential_decay_learning_rate { decay_size: 1 decay_factor: 0.5 }
        part_optimizers { regex_pattern: "a.*" sgd_optimizer { lr: 0.25 } }
        part_optimizers { regex_pattern: ".*weight" sgd_optimizer { lr: 0.125 } constant_learning_rate {} }""",
        **{"a.weight": nn.Parameter(torch.ones(1)), "b.weight": nn.Parameter(torch.ones(1)),
           "c.bias": nn.Parameter(torch.ones(1))},
    )  # fmt: skip
    assert (first.parameter_names, second.parameter_names) == (("a.weight",), ("b.weight",))
    assert main.parameter_names == ("c.bias",)
    assert (main.set_lr(1, 0), first.set_lr(1, 0), second.set_lr(1, 0)) == (0.25, 0.125, 0.125)


def test_a_part_that_matches_nothing_names_parameters_there_are():
    with pytest.raises(ConfigError, match=r"part_optimizers\[0\].*'zz' matches no parameter.*a\.weight"):
        build('adam_optimizer { lr: 0.5 } part_optimizers { regex_pattern: "zz" sgd_optimizer { lr: 1 } }')


def test_no_optimizer_lists_the_choices():
    with pytest.raises(ConfigError, match="sgd_optimizer, adagrad_optimizer"):
        build("")
