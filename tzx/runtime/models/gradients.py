"""Products of the gradients of several losses. Legend: T losses, P parameters, E embedded values of a batch.

Gradients are taken over all parameters but the embedding tables, and over what the tables give for the batch: tables
that are sharded have no gradient that one could look at, and their update is linear in that of the embedded values.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tzx.runtime.metrics.sync import all_sum, world_size


class LossGradients:
    """Sees what a model embeds in training, and multiplies gradients of its losses with one another.

    Args:
        model: the model, for its parameters.
        embedding_groups: its part that embeds a batch.
    """

    def __init__(self, model: nn.Module, embedding_groups: nn.Module) -> None:
        self._model = model
        self._embedded: list[Tensor] = []
        embedding_groups.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, outputs: Mapping[str, Tensor]) -> None:
        self._embedded = [t for t in outputs.values() if t.requires_grad] if self._model.training else []

    def products(self, losses: Sequence[Tensor]) -> Tensor:
        """G G^T of the gradients of the mean loss over all processes, float64 [T, T]; a collective."""
        dense = [p for name, p in self._model.named_parameters() if ".collection." not in name and p.requires_grad]
        embedded, self._embedded = self._embedded, []
        rows_TP, rows_TE = [], []
        for loss in losses:
            found = torch.autograd.grad(loss, [*dense, *embedded], retain_graph=True, allow_unused=True)
            rows_TP.append(_flat(found[: len(dense)], dense))
            rows_TE.append(_flat(found[len(dense) :], embedded))
        mean_TP = all_sum(torch.stack(rows_TP)) / world_size()
        # Each process embeds rows of its own, which a mean over processes counts 1 / world_size.
        own_TE = torch.stack(rows_TE) / world_size()
        return mean_TP @ mean_TP.T + all_sum(own_TE @ own_TE.T)


def weighted(losses: Mapping[str, Tensor], weights: Sequence[Tensor]) -> dict[str, Tensor]:
    """The same losses with weighted gradients; their values stay, to be comparable with those of evaluation."""
    return {
        name: loss.detach() + weight.to(loss) * (loss - loss.detach())
        for (name, loss), weight in zip(losses.items(), weights, strict=True)
    }


def _flat(gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, like, strict=True)]
    return torch.cat([p.reshape(-1).double() for p in parts]) if parts else torch.zeros(0, dtype=torch.float64)
