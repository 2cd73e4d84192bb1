"""How each sparse optimizer changes the rows that a batch touched, in plain tensor operations on any device.

The formulas are those of FBGEMM's GPU kernels, which define what a config means: only touched rows change, decay
included; a row that several ids of a batch share is updated once, with the sum of their gradients; and a step count is
that of the table, not of the row. Where those kernels divide zero by zero, on a row without gradient, a row stays.

Legend: U touched rows, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

WeightDecay = Literal["none", "l2", "decouple"]


@dataclass(frozen=True)
class Hyper:
    """Hyperparameters of the sparse optimizers; each uses its own."""

    eps: float = 1e-8
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    weight_decay_mode: WeightDecay = "none"
    momentum: float = 0.9
    eta: float = 0.001


@dataclass
class TouchedRows:
    """What an update works on; `weight` and `states` are changed in place."""

    weight: Tensor  # [U, D]
    gradient: Tensor  # [U, D]
    states: Sequence[Tensor]  # [U, D], or [U] where there is one number per row
    lr: float
    step: int  # of the table, from 1
    hyper: Hyper


@dataclass(frozen=True)
class Rule:
    """An optimizer: the names of its states, whether each is one number per row, and its update."""

    states: tuple[tuple[str, bool], ...]
    update: Callable[[TouchedRows], None]

    @property
    def sees_whole_rows(self) -> bool:
        """Whether a row's update depends on all of its columns, so that splitting columns changes results."""
        return self.update not in (_sgd, _adagrad, _adam)


def _sgd(rows: TouchedRows) -> None:
    rows.weight.add_(rows.gradient, alpha=-rows.lr)


def _adagrad(rows: TouchedRows) -> None:
    (sums_UD,) = rows.states
    sums_UD.addcmul_(rows.gradient, rows.gradient)
    rows.weight.addcdiv_(rows.gradient, sums_UD.sqrt().add_(rows.hyper.eps), value=-rows.lr)


def _rowwise_adagrad(rows: TouchedRows) -> None:
    (sums_U,) = rows.states
    hyper, gradient_UD = rows.hyper, rows.gradient
    if hyper.weight_decay_mode == "l2":
        gradient_UD = gradient_UD + hyper.weight_decay * rows.weight
    elif hyper.weight_decay_mode == "decouple":
        rows.weight.mul_(1 - rows.lr * hyper.weight_decay)
    sums_U.add_(_mean_square(gradient_UD))
    rows.weight.addcdiv_(gradient_UD, sums_U.sqrt().add_(hyper.eps).unsqueeze(1), value=-rows.lr)


def _adam(rows: TouchedRows) -> None:
    second_UD = rows.states[1]
    second_UD.mul_(rows.hyper.beta2).addcmul_(rows.gradient, rows.gradient, value=1 - rows.hyper.beta2)
    _step(rows, _adam_direction(rows, second_UD))


def _partial_rowwise_adam(rows: TouchedRows) -> None:
    rows.states[1].lerp_(_mean_square(rows.gradient), 1 - rows.hyper.beta2)
    _step(rows, _adam_direction(rows, rows.states[1].unsqueeze(1)))


def _lamb(rows: TouchedRows) -> None:
    second_UD = rows.states[1]
    second_UD.mul_(rows.hyper.beta2).addcmul_(rows.gradient, rows.gradient, value=1 - rows.hyper.beta2)
    _trusted_step(rows, _adam_direction(rows, second_UD))


def _partial_rowwise_lamb(rows: TouchedRows) -> None:
    rows.states[1].lerp_(_mean_square(rows.gradient), 1 - rows.hyper.beta2)
    _trusted_step(rows, _adam_direction(rows, rows.states[1].unsqueeze(1)))


def _lars_sgd(rows: TouchedRows) -> None:
    (momentum_UD,) = rows.states
    hyper = rows.hyper
    weight_norm_U1 = rows.weight.norm(dim=1, keepdim=True)
    gradient_norm_U1 = rows.gradient.norm(dim=1, keepdim=True)
    scale_U1 = hyper.eta * weight_norm_U1 / (gradient_norm_U1 + hyper.weight_decay * weight_norm_U1)
    change_UD = rows.gradient + hyper.weight_decay * rows.weight
    momentum_UD.mul_(hyper.momentum).add_(change_UD * _finite(scale_U1), alpha=rows.lr)
    rows.weight.sub_(momentum_UD)


def _adam_direction(rows: TouchedRows, second: Tensor) -> Tensor:
    """First moment, brought up to date, over the root of the second, both corrected for having started at 0."""
    beta1, beta2 = rows.hyper.beta1, rows.hyper.beta2
    rows.states[0].lerp_(rows.gradient, 1 - beta1)
    scale = (second / (1 - beta2**rows.step)).sqrt_().add_(rows.hyper.eps)
    direction_UD = (rows.states[0] / (1 - beta1**rows.step)).div_(scale)
    if rows.hyper.weight_decay:
        direction_UD.add_(rows.weight, alpha=rows.hyper.weight_decay)
    return direction_UD


def _step(rows: TouchedRows, direction_UD: Tensor) -> None:
    rows.weight.add_(direction_UD, alpha=-rows.lr)


def _trusted_step(rows: TouchedRows, direction_UD: Tensor) -> None:
    """LAMB's layer is a row here: its step is as long as its weights, times the learning rate."""
    ratio_U1 = rows.weight.norm(dim=1, keepdim=True) / direction_UD.norm(dim=1, keepdim=True)
    _step(rows, direction_UD * _finite(ratio_U1))


def _mean_square(gradient_UD: Tensor) -> Tensor:
    return gradient_UD.square().mean(dim=1)


def _finite(ratio: Tensor) -> Tensor:
    return torch.nan_to_num(ratio, nan=0.0, posinf=0.0)


_MOMENTS = (("exp_avg", False), ("exp_avg_sq", False))
_PARTIAL_MOMENTS = (("exp_avg", False), ("exp_avg_sq", True))

RULES: dict[str, Rule] = {
    "exact_sgd": Rule((), _sgd),
    "exact_adagrad": Rule((("sum", False),), _adagrad),
    "exact_row_wise_adagrad": Rule((("sum", True),), _rowwise_adagrad),
    "adam": Rule(_MOMENTS, _adam),
    "partial_row_wise_adam": Rule(_PARTIAL_MOMENTS, _partial_rowwise_adam),
    "lamb": Rule(_MOMENTS, _lamb),
    "partial_row_wise_lamb": Rule(_PARTIAL_MOMENTS, _partial_rowwise_lamb),
    "lars_sgd": Rule((("momentum_buffer", False),), _lars_sgd),
}
