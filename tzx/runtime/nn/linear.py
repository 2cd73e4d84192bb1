"""A linear layer whose products on CPU are oneDNN's, in training and in evaluation.

oneDNN takes widths that are no multiples of a cache line as fast as others; of the products that torch chooses there,
the gradient of such an input takes twice as long. Legend: B rows, D input width, E output width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
_WORTH_IT = 1 << 20  # multiplications; setting up a product takes oneDNN some microseconds longer


class Linear(nn.Linear):
    """x W^T + b, over any leading dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., D] to [..., E]."""
        if not is_for_onednn(input, self.weight):
            return F.linear(input, self.weight, self.bias)
        output: Tensor = _Linear.apply(input, self.weight, self.bias)
        return output


def is_for_onednn(input: Tensor, weight: Tensor) -> bool:
    """Whether the products below are to be used, rather than torch's own."""
    return (
        _product is not None
        and not torch.compiler.is_compiling()
        and input.device.type == weight.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and input.numel() * weight.shape[0] >= _WORTH_IT
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.has_bias = bias is not None
        return times(input, weight, bias)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        wants_input, wants_weight, wants_bias = ctx.needs_input_grad
        rows_BE, input_BD = gradient.reshape(-1, weight.shape[0]), input.reshape(-1, weight.shape[1])
        return (
            times(gradient, weight.t()) if wants_input else None,
            sum_of_products(rows_BE, input_BD) if wants_weight else None,
            rows_BE.sum(dim=0) if ctx.has_bias and wants_bias else None,
        )


def sum_of_products(left_BE: Tensor, right_BD: Tensor) -> Tensor:
    """left^T right, the gradient of a weight [E, D]."""
    # Where the right one is the wider, oneDNN is the faster; else torch's product is.
    return times(left_BE.t(), right_BD.t()) if left_BE.shape[1] <= right_BD.shape[1] else left_BE.t() @ right_BD


def times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b."""
    assert _product is not None
    product: Tensor = _product(x, weight, bias, "none", [], "")
    return product


def times_plus(x: Tensor, weight: Tensor, other: Tensor) -> Tensor:
    """x W^T + other, where `other` has the shape of the product."""
    assert _product is not None
    total: Tensor = _product.binary(x, other, weight, None, "add")
    return total
