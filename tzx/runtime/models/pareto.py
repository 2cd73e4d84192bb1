"""Weights of several losses by Pareto efficiency. Legend: T losses.

Lin et al. 2019, "A Pareto-Efficient Algorithm for Multiple Objective Optimization in E-Commerce Recommendation",
section 3: the weights, each with a lower bound, under which the sum of the losses' gradients is shortest.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tzx.runtime.models.gradients import LossGradients, weighted


def pareto_weights(gram_TT: Tensor, floor_T: Tensor) -> Tensor:
    """Weights [T] that are at least `floor_T` and add up to 1.

    Without x >= 0 the shortest gradient sum follows from [[G G^T, 1], [1^T, 0]] [x, l] = [-G G^T c, 1 - sum c]; the
    result is the nearest point that keeps x >= 0, plus c.

    Args:
        gram_TT: float64 products of the losses' gradients, G G^T.
        floor_T: float64 lower bounds c, adding up to less than 1.
    """
    scale = gram_TT.diagonal().mean()
    gram_TT = gram_TT / torch.where(scale > 0, scale, 1.0)  # the solution does not depend on it, its digits do
    T = floor_T.shape[0]
    system = gram_TT.new_zeros(T + 1, T + 1)
    system[:T, :T], system[:T, T], system[T, :T] = gram_TT, 1.0, 1.0
    rest = 1 - floor_T.sum()
    right = torch.cat([-gram_TT @ floor_T, rest.unsqueeze(0)])
    free_T = (torch.linalg.pinv(system, hermitian=True) @ right)[:T]
    return _nearest_in_simplex(free_T, rest) + floor_T


def _nearest_in_simplex(x_T: Tensor, total: Tensor) -> Tensor:
    """The point nearest to x with no negative coordinate and the given sum: subtract a number, cut at 0."""
    descending_T = x_T.sort(descending=True).values
    count_T = torch.arange(1, x_T.shape[0] + 1, device=x_T.device)
    shift_T = (descending_T.cumsum(0) - total) / count_T
    kept = (descending_T > shift_T).sum()
    return (x_T - shift_T[kept - 1]).clamp(min=0)


class ParetoWeights:
    """Weighs the losses of a model in training; all processes use the same weights.

    Args:
        gradients: of the model.
        floors: lower bounds of the weights by loss, 0 where missing.
    """

    def __init__(self, gradients: LossGradients, floors: Mapping[str, float]) -> None:
        self._gradients, self._floors = gradients, floors

    def weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses with weighted gradients and the values they had."""
        gram_TT = self._gradients.products(list(losses.values()))
        floor_T = torch.tensor([self._floors.get(name, 0.0) for name in losses]).to(gram_TT)
        return weighted(losses, pareto_weights(gram_TT, floor_T).unbind())
