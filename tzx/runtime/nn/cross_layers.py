"""All layers of a DCN V2 cross at once, with gradients of their own, for training on CPU.

What costs there is memory: layer by layer, [B, D] is read or written some twenty times. Adding up in place, or within
the products that make what is added, saves a quarter of it. Legend: B rows, D width, R low rank, or D.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tzx.runtime.nn.linear import sum_of_products, times, times_plus


class CrossLayers(torch.autograd.Function):
    """x_{l+1} = x_0 * (V_l h_l + b_l) + x_l, where h_l is U_l x_l, or x_l itself in a layer without U.

    `apply(x_BD, downs, *parameters)`: `downs` tells whether layers have a U; parameters are [U_l,] V_l, b_l, layer by
    layer.
    """

    @staticmethod
    def forward(ctx: Any, x_BD: Tensor, downs: bool, *parameters: Tensor) -> Tensor:
        """[B, D] to [B, D]."""
        first_BD, kept = x_BD, list[Tensor]()
        for *down, up, bias in _layers(parameters, downs):
            hidden_BR = times(x_BD, down[0]) if down else x_BD
            up_BD = times(hidden_BR, up, bias)
            kept += [x_BD, hidden_BR, up_BD]
            x_BD = torch.addcmul(x_BD, first_BD, up_BD)
        ctx.save_for_backward(first_BD, *parameters, *kept)
        ctx.downs, ctx.count = downs, len(parameters)
        return x_BD

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient_BD: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x_0 and of the parameters."""
        first_BD, *saved = ctx.saved_tensors
        layers, kept = _layers(saved[: ctx.count], ctx.downs), saved[ctx.count :]
        found = list[Tensor]()  # last parameter first
        of_first_BD = torch.zeros_like(first_BD)
        for i, (*down, up, _) in reversed(list(enumerate(layers))):
            x_BD, hidden_BR, up_BD = kept[3 * i : 3 * i + 3]
            of_first_BD.addcmul_(gradient_BD, up_BD)
            of_up_BD = gradient_BD * first_BD
            found += [of_up_BD.sum(dim=0), sum_of_products(of_up_BD, hidden_BR)]
            if down:
                of_hidden_BR = times(of_up_BD, up.t())
                found.append(sum_of_products(of_hidden_BR, x_BD))
                gradient_BD = times_plus(of_hidden_BR, down[0].t(), gradient_BD)
            else:
                gradient_BD = times_plus(of_up_BD, up.t(), gradient_BD)
        return (of_first_BD.add_(gradient_BD), None, *reversed(found))


def _layers(parameters: Sequence[Tensor], downs: bool) -> list[Sequence[Tensor]]:
    size = 2 + downs
    return [parameters[i : i + size] for i in range(0, len(parameters), size)]
