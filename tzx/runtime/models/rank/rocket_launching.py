"""RocketLaunching: a small network that learns beside a large one and serves alone. Legend: B rows, C classes."""

import logging
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn
from torch.linalg import vector_norm

from tzx.runtime.config.problems import listing
from tzx.runtime.data.batch import Batch
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.models.problems import Problems
from tzx.runtime.models.tasks import Task
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.protos.simi_pb2 import COSINE, EUCLID, Similarity

logger = logging.getLogger("tzx")


class RocketLaunching(RankModel):
    """Zhou et al. 2018, "Rocket Launching: A Universal and Efficient Framework for Training Well-performing Light Net".

    shared = share_mlp(group); booster = linear(MLP(shared)); light = linear(MLP(shared without gradient)), sections 3.1
    to 3.3. Both learn the label; hint_l2_loss = mean (light - booster)^2 moves the light net only. With
    `feature_based_distillation` every light layer also follows the first booster layer of its width: -0.1 times the
    mean cosine, or the Euclidean distance. The booster runs in training only.
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def make_tasks(self, config: EasyRecConfig, features: FeatureSet, problems: Problems) -> tuple[Task, ...]:
        """The same task for both networks."""
        (task,) = super().make_tasks(config, features, problems)
        return replace(task, suffix="_light"), replace(task, suffix="_booster")

    @property
    def eval_tasks(self) -> tuple[Task, ...]:
        """The light network's."""
        return self.tasks[:1]

    def build(self) -> None:
        """Shared, light and booster layers."""
        (self.group,) = self.group_types()
        width = self.embedding_groups.total_dim(self.group)
        self.share_mlp = MLP(width, self.own.share_mlp) if self.own.HasField("share_mlp") else None
        width = self.share_mlp.out_dim if self.share_mlp else width
        self.light_mlp, self.booster_mlp = MLP(width, self.own.light_mlp), MLP(width, self.own.booster_mlp)
        self.light_output = nn.Linear(self.light_mlp.out_dim, self.num_class)
        self.booster_output = nn.Linear(self.booster_mlp.out_dim, self.num_class)
        self.pairs = self._matching_layers() if self.own.feature_based_distillation else []

    def _matching_layers(self) -> list[tuple[int, int]]:
        """Each light layer with the first booster layer of its width."""
        function = self.own.feature_distillation_function
        if function not in (COSINE, EUCLID):
            raise ConfigError(
                f"feature_distillation_function is {Similarity.Name(function)}; allowed: COSINE and EUCLID"
            )
        light, booster = list(self.own.light_mlp.hidden_units), list(self.own.booster_mlp.hidden_units)
        pairs = [(i, booster.index(units)) for i, units in enumerate(light) if units in booster]
        if not pairs:
            logger.warning(
                "%s.feature_based_distillation has no effect: no layer of light_mlp (%s) is as wide as one of "
                "booster_mlp (%s)", self.where, listing(map(str, light)), listing(map(str, booster)),
            )  # fmt: skip
        return pairs

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C] of the light network."""
        return self.light_output(self.light_mlp(self._shared(groups).detach()))

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions of the light network; in training also the booster's, and the losses between both."""
        groups = self.embed(batch)
        if not self.training:
            return self.tasks[0].predict(self.logits(groups))
        shared = self._shared(groups)
        light, booster = self.light_mlp.hidden_outputs(shared.detach()), self.booster_mlp.hidden_outputs(shared)
        light_BC = self.light_output(light["hidden_layer_end"]).float()
        booster_BC = self.booster_output(booster["hidden_layer_end"]).float()
        hints = {"hint_l2_loss": F.mse_loss(light_BC, booster_BC.detach())}
        for i, j in self.pairs:
            hints[f"similarity_{i}_{j}"] = self._distance(light[f"hidden_layer{i}"], booster[f"hidden_layer{j}"])
        return {**self.tasks[0].predict(light_BC), **self.tasks[1].predict(booster_BC), **hints}

    @property
    def made_losses(self) -> list[str]:
        """Losses between both networks."""
        return ["hint_l2_loss", *(f"similarity_{i}_{j}" for i, j in self.pairs)]

    def _shared(self, groups: dict[str, Tensor]) -> Tensor:
        x_BD = groups[self.group]
        return x_BD if self.share_mlp is None else self.share_mlp(x_BD)

    def _distance(self, light_BH: Tensor, booster_BH: Tensor) -> Tensor:
        light_BH, booster_BH = light_BH.float(), booster_BH.detach().float()
        if self.own.feature_distillation_function == COSINE:
            return -0.1 * F.cosine_similarity(light_BH, booster_BH, dim=1).mean()
        return vector_norm(light_BH - booster_BH)
