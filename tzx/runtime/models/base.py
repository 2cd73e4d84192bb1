"""What all models share: feature groups in, predictions, losses and metrics out.

A model is written for one device; training shards its tables from outside and serving exports its `predict`. A new
model subclasses RankModel or MultiTaskModel, says in `group_types` which feature groups it reads, builds its layers in
`build` and computes logits in `logits`.

Legend: B rows, C classes, D width of a group.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeVar

from google.protobuf.message import Message
from torch import Tensor, nn

from tzx.runtime.config.own_messages import inside
from tzx.runtime.config.problems import hint, listing
from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.specs import TableSpec, WideOptions
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.metrics import MeanOf, Metric, make_metric, make_train_metric, metric_key
from tzx.runtime.metrics.sync import all_sum
from tzx.runtime.models.feature_dropout import FeatureDropout
from tzx.runtime.models.problems import Problems
from tzx.runtime.models.tasks import Task, single_task, tower_tasks
from tzx.runtime.models.weighting import make_weighting
from tzx.runtime.nn.initializers import initialise_layers
from tzx.runtime.protos.model_pb2 import DEEP, FeatureGroupConfig, FeatureGroupType
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

logger = logging.getLogger("tzx")

M = TypeVar("M", bound=Metric)
GroupTypes = Mapping[str, "tuple[FeatureGroupType, ...]"]


class Model(nn.Module):
    """A model as its config describes it.

    Args:
        config: a parsed config.
        features: the features made of its feature_configs.

    Raises:
        ConfigError: groups, dimensions, labels, losses or metrics do not fit; all problems at once.
    """

    tasks: tuple[Task, ...]

    def __init__(self, config: EasyRecConfig, features: FeatureSet) -> None:
        super().__init__()
        self.config = config.model_config
        self.field = self.config.WhichOneof("model") or ""
        self.own: Message = inside(getattr(self.config, self.field))
        problems = Problems()
        used = self._used_groups(problems)
        self.tasks = self.make_tasks(config, features, problems)
        problems.raise_any()
        self.embedding_groups = EmbeddingGroups(
            features.features, used, BatchLayout.from_features(features.features), _wide_options(self.own)
        )
        with problems.at("model_config.variational_dropout"):
            self.feature_dropout = self._make_feature_dropout(used)
        with problems.at(self.where):
            self.build()
        with problems.at("model_config.dense_init_fn"):
            if self.config.dense_init_fn:
                initialise_layers(self, self.config.dense_init_fn)
        self.loss_weighting = make_weighting(self.config, self.tasks, self, self.embedding_groups, problems)
        problems.raise_any()
        self.init_metrics()

    @property
    def where(self) -> str:
        """Place of the model's own fields, for messages."""
        return f"model_config.{self.field}"

    @abstractmethod
    def group_types(self) -> GroupTypes:
        """Feature groups the model reads, and the types each may have."""

    @abstractmethod
    def make_tasks(self, config: EasyRecConfig, features: FeatureSet, problems: Problems) -> tuple[Task, ...]:
        """The model's tasks, checked against data and features."""

    @abstractmethod
    def build(self) -> None:
        """Make the layers; `self.embedding_groups` and `self.tasks` are there."""

    @abstractmethod
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions by name; torch.export can trace it."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Same as `predict`."""
        return self.predict(batch)

    def loss(self, predictions: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Losses by name, scalars; the model is trained on their sum.

        Args:
            predictions: what `predict` returned for the batch, with gradients.
            batch: with labels and sample weights.
        """
        losses = self.plain_losses(predictions, batch)
        if batch.is_filler:  # other ranks may need it for the weights
            return _without_effect(self._weighed(_without_effect(losses)))
        return self._weighed(losses)

    def _weighed(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        return losses if self.loss_weighting is None or not self.training else self.loss_weighting.weigh(losses)

    def plain_losses(self, predictions: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Losses by name before they are weighed against each other; arguments as `loss`."""
        tasks = self.tasks if self.training else self.eval_tasks
        losses = {name: loss for task in tasks for name, loss in task.loss(predictions, batch).items()}
        if self.training:
            losses |= {name: predictions[name] for name in self.made_losses}
        if self.feature_dropout is None or not self.training:
            return losses
        return losses | self.feature_dropout.losses(batch.size)

    @property
    def eval_tasks(self) -> tuple[Task, ...]:
        """Tasks that are also predicted outside training; all of them, unless a model says otherwise."""
        return self.tasks

    @property
    def made_losses(self) -> list[str]:
        """Losses that `predict` itself makes in training, scalars among its predictions; none in most models."""
        return []

    @property
    def tables(self) -> dict[str, TableSpec]:
        """Embedding tables by name."""
        return {table.name: table for table in self.embedding_groups.tables}

    @property
    def output_names(self) -> list[str]:
        """Names of the predictions outside training."""
        return [name for task in self.eval_tasks for name in task.output_names]

    @property
    def loss_names(self) -> list[str]:
        """Names of the losses."""
        names = [loss.name + task.suffix for task in self.tasks for loss in task.losses] + self.made_losses
        return names if self.feature_dropout is None else [*names, *self.feature_dropout.loss_names]

    # ------------------------------------------------------------------ groups

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Tensors of the feature groups by name, as EmbeddingGroups names them."""
        groups = self.embedding_groups(batch)
        return groups if self.feature_dropout is None else self.feature_dropout(groups)

    def group_config(self, name: str) -> FeatureGroupConfig:
        """The config of the feature group `name`."""
        return next(g for g in self.config.feature_groups if g.group_name == name)

    def has_group(self, name: str) -> bool:
        """Whether the config has a feature group `name`."""
        return any(g.group_name == name for g in self.config.feature_groups)

    def first_group(self) -> GroupTypes:
        """The first feature group, which must be DEEP: what models that read a single group take."""
        return {group.group_name: (DEEP,) for group in self.config.feature_groups[:1]}

    def equal_dim(self, group: str) -> int:
        """The width all features of `group` share.

        Raises:
            ConfigError: they differ, or there are none.
        """
        dims = dict(self.embedding_groups.feature_dims(group))
        if len(set(dims.values())) == 1:
            return next(iter(dims.values()))
        values = list(dims.values())
        common = max(values, key=values.count, default=0)
        odd = [f"{name} has {dim}" for name, dim in dims.items() if dim != common]
        raise ConfigError(
            f"features of group {group!r} must all have the same embedding_dim; expected {common} as "
            f"{values.count(common)} of {len(dims)} features have, given: {listing(odd)}"
        )

    def _used_groups(self, problems: Problems) -> list[FeatureGroupConfig]:
        given = {g.group_name: g for g in self.config.feature_groups}
        if not given:
            problems.add("model_config.feature_groups is empty; a model needs at least one group")
            return []
        types = self.group_types()
        for name, allowed in types.items():
            kinds = " or ".join(FeatureGroupType.Name(t) for t in allowed)
            if name not in given:
                problems.add(f"{self.where} needs a feature group {name!r} of type {kinds}{hint(name, given)}")
            elif given[name].group_type not in allowed:
                kind = FeatureGroupType.Name(given[name].group_type)
                problems.add(f"feature group {name!r} is of group_type {kind}, but {self.where} needs {kinds} there")
        unused = [name for name in given if name not in types]
        if unused and not problems.lines:
            logger.warning("feature groups %s are not used by %s", listing(unused), self.where)
        return [group for name, group in given.items() if name in types]

    def _make_feature_dropout(self, used: Iterable[FeatureGroupConfig]) -> FeatureDropout | None:
        if not self.config.HasField("variational_dropout"):
            return None
        return FeatureDropout(self.config.variational_dropout, used, self.embedding_groups)

    # ----------------------------------------------------------------- metrics

    def init_metrics(self) -> None:
        """Make fresh metrics."""
        self._loss_means = {name: MeanOf() for name in self.loss_names}
        self._metrics = _by_task(
            (task, metric_key(m) + task.suffix, make_metric(m, task.num_class, task.outputs))
            for task in self.eval_tasks
            for m in task.metrics
        )
        self._train_metrics = _by_task(
            (task, metric_key(m) + task.suffix, make_train_metric(m, task.num_class, task.outputs))
            for task in self.tasks
            for m in task.train_metrics
        )

    def update_metrics(
        self, predictions: Mapping[str, Tensor], batch: Batch, losses: Mapping[str, Tensor] | None = None
    ) -> None:
        """Take in one batch of evaluation.

        Args:
            predictions: what `predict` returned.
            batch: with labels.
            losses: what `loss` returned, to be averaged over rows.
        """
        _update(self._metrics, predictions, batch)
        for name, loss in (losses or {}).items():
            self._loss_means[name].add_mean(loss, batch.size)

    def compute_metrics(self) -> dict[str, Tensor]:
        """Metrics and mean losses over all processes, scalars. Collective: every process must call it."""
        found = {name: metric.compute() for name, (_, metric) in self._metrics.items()}
        sums = {name: all_sum(mean.state) for name, mean in self._loss_means.items()}
        means = {name: self._loss_means[name].value(state) for name, state in sums.items() if state[1] > 0}
        return found | means

    def reset_metrics(self) -> None:
        """Forget what evaluation has seen."""
        for _, metric in self._metrics.values():
            metric.reset()
        for mean in self._loss_means.values():
            mean.reset()

    def update_train_metrics(self, predictions: Mapping[str, Tensor], batch: Batch) -> None:
        """Take in one batch of training; arguments as `update_metrics`."""
        _update(self._train_metrics, predictions, batch)

    def compute_train_metrics(self) -> dict[str, Tensor]:
        """Decayed metrics over all processes, scalars. Collective: every process must call it."""
        return {name: metric.compute() for name, (_, metric) in self._train_metrics.items()}

    def train_metric_state(self) -> dict[str, Tensor]:
        """Copies of what the train metrics keep, over all processes, `<metric>/<tensor>`. Collective."""
        states = {name: metric.summed_state() for name, (_, metric) in self._train_metrics.items()}
        return {f"{name}/{key}": tensor for name, state in states.items() for key, tensor in state.items()}

    def load_train_metric_state(self, state: Mapping[str, Tensor], is_chief: bool) -> None:
        """Go on from a `train_metric_state`; of all processes, the chief takes it."""
        for name, (_, metric) in self._train_metrics.items():
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
            metric.restore(own, is_chief)


class RankModel(Model):
    """A model of one task."""

    def make_tasks(self, config: EasyRecConfig, features: FeatureSet, problems: Problems) -> tuple[Task, ...]:
        """One task: first label, model_config.losses."""
        return (single_task(config, features, problems),)

    @property
    def num_class(self) -> int:
        """Width of the logits."""
        return self.tasks[0].num_class

    @abstractmethod
    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C] of the feature groups' tensors."""

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions by name."""
        return self.tasks[0].predict(self.logits(self.embed(batch)))


class MultiTaskModel(Model):
    """A model with one task per `task_towers` entry."""

    def make_tasks(self, config: EasyRecConfig, features: FeatureSet, problems: Problems) -> tuple[Task, ...]:
        """One task per tower."""
        return tower_tasks(self.own.task_towers, f"{self.where}.task_towers", config, features, problems)

    @abstractmethod
    def logits(self, groups: dict[str, Tensor]) -> list[Tensor]:
        """Logits [B, C] of every task, in the order of the towers."""

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions by name, those of each tower with its suffix."""
        predictions: dict[str, Tensor] = {}
        for task, logits_BC in zip(self.tasks, self.logits(self.embed(batch)), strict=True):
            predictions |= task.predict(logits_BC)
        return predictions


def _without_effect(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: 0.0 * loss for name, loss in losses.items()}


def _wide_options(own: Message) -> WideOptions:
    if "wide_embedding_dim" in own.DESCRIPTOR.fields_by_name:
        return WideOptions(own.wide_embedding_dim, getattr(own, "wide_init_fn", ""))
    return WideOptions(4, "")


def _by_task(made: Iterable[tuple[Task, str, M]]) -> dict[str, tuple[Task, M]]:
    return {name: (task, metric) for task, name, metric in made}


def _update(metrics: Mapping[str, tuple[Task, Metric]], predictions: Mapping[str, Tensor], batch: Batch) -> None:
    for task, metric in metrics.values():
        own = {name: p.detach() for name, p in task.own(predictions, batch).items()}
        metric.update(own, batch.labels[task.label], batch)
