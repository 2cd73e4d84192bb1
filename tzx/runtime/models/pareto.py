"""Weights of several losses by Pareto efficiency. Legend: T losses, P parameters and embedded values.

Lin et al. 2019, "A Pareto-Efficient Algorithm for Multiple Objective Optimization in E-Commerce Recommendation",
section 3: the weights, each with a lower bound, under which the sum of the losses' gradients is shortest.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tzx.runtime.metrics.sync import all_sum, world_size


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
    """Weighs the losses of a model in training.

    Gradients are taken over all parameters but the embedding tables, and over what the tables give for the batch:
    tables that are sharded have no gradient that one could look at. Products of gradients are averaged over processes,
    so that all use the same weights.

    Args:
        model: the model, for its parameters.
        embedding_groups: its part that embeds a batch.
        floors: lower bounds of the weights by loss, 0 where missing.
    """

    def __init__(self, model: nn.Module, embedding_groups: nn.Module, floors: Mapping[str, float]) -> None:
        self._model, self._floors = model, floors
        self._embedded: list[Tensor] = []
        embedding_groups.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, outputs: Mapping[str, Tensor]) -> None:
        self._embedded = [t for t in outputs.values() if t.requires_grad] if self._model.training else []

    def weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same losses with weighted gradients; their values stay, to be comparable with those of evaluation."""
        names = list(losses)
        floor_T = torch.tensor([self._floors.get(name, 0.0) for name in names], dtype=torch.float64)
        gram_TT = all_sum(self._gram(list(losses.values()))) / world_size()
        weight_T = pareto_weights(gram_TT, floor_T.to(gram_TT.device)).float()
        return {
            name: loss.detach() + weight.to(loss) * (loss - loss.detach())
            for (name, loss), weight in zip(losses.items(), weight_T.unbind(), strict=True)
        }

    def _gram(self, losses: list[Tensor]) -> Tensor:
        dense = (p for name, p in self._model.named_parameters() if ".collection." not in name)
        inputs, self._embedded = [*(p for p in dense if p.requires_grad), *self._embedded], []
        rows = [torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True) for loss in losses]
        gram = losses[0].new_zeros(len(rows), len(rows), dtype=torch.float64)
        for i, left in enumerate(rows):
            for j, right in enumerate(rows[: i + 1]):
                pairs = zip(left, right, strict=True)
                products = [(a.double() * b).sum() for a, b in pairs if a is not None and b is not None]
                gram[i, j] = gram[j, i] = torch.stack(products).sum() if products else 0.0
        return gram
