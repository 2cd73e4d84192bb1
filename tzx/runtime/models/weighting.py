"""How the losses of a model are weighed against each other in training, as its config asks."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from tzx.runtime.config.problems import listing
from tzx.runtime.losses import L2Loss
from tzx.runtime.models.gradients import LossGradients
from tzx.runtime.models.pareto import ParetoWeights
from tzx.runtime.models.pcgrad import GradientSurgery
from tzx.runtime.models.problems import Problems
from tzx.runtime.models.tasks import Task
from tzx.runtime.models.uncertainty import UncertaintyWeights
from tzx.runtime.protos.model_pb2 import ModelConfig

CHOICES = ("use_pareto_loss_weight", "use_uncertainty_loss_weight", "use_pcgrad")


class Weighting(Protocol):
    """Changes the gradients of losses, not their values."""

    def weigh(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name, as they came in."""


def make_weighting(
    config: ModelConfig, tasks: Sequence[Task], model: nn.Module, embedding_groups: nn.Module, problems: Problems
) -> Weighting | None:
    """What model_config asks for, None where the losses are simply added.

    Args:
        config: says which.
        tasks: of the model.
        model: for its parameters.
        embedding_groups: its part that embeds a batch.
        problems: collects what does not fit.
    """
    chosen = [name for name in CHOICES if getattr(config, name)]
    if len(chosen) > 1:
        problems.add(f"model_config: only one of {listing(CHOICES)} is possible, given: {listing(chosen)}")
    by_name = {loss.name + task.suffix: (loss, task) for task in tasks for loss in task.losses}
    if chosen == ["use_pareto_loss_weight"]:
        floors = {name: task.floor for name, (_, task) in by_name.items()}
        _check_floors(floors, problems)
        return ParetoWeights(LossGradients(model, embedding_groups), floors)
    if chosen == ["use_pcgrad"]:
        return GradientSurgery(LossGradients(model, embedding_groups), frozenset(by_name))
    if chosen == ["use_uncertainty_loss_weight"]:
        squared = frozenset(name for name, (loss, _) in by_name.items() if isinstance(loss, L2Loss))
        return UncertaintyWeights(list(by_name), squared)
    return None


def _check_floors(floors: Mapping[str, float], problems: Problems) -> None:
    if min(floors.values(), default=0) < 0 or sum(floors.values()) >= 1:
        given = listing(f"{name} has {floor:g}" for name, floor in floors.items())
        problems.add(
            "model_config: pareto_min_loss_weight must not be negative, and those of all losses must add up to less "
            f"than 1; given: {given}"
        )
