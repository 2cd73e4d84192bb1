"""A task: one label with its losses, metrics and prediction names. Models have one task or one per tower.

Legend: B rows, C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from google.protobuf.message import Message
from torch import Tensor

from tzx.runtime.config.problems import hint
from tzx.runtime.data.batch import Batch
from tzx.runtime.features import FeatureSet
from tzx.runtime.losses import Loss, RowWeights, check_labels, loss_name, make_loss, weighted_mean
from tzx.runtime.metrics import make_metric, make_train_metric, metric_key, metric_name
from tzx.runtime.models.problems import Problems
from tzx.runtime.protos.data_pb2 import DataConfig
from tzx.runtime.protos.metric_pb2 import MetricConfig, TrainMetricConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig


@dataclass(frozen=True)
class Task:
    """Everything between a task's logits and its numbers in the log; `suffix` ends all of its names."""

    label: str
    suffix: str = ""
    num_class: int = 1
    losses: tuple[Loss, ...] = ()
    weights: RowWeights = field(default_factory=RowWeights)
    metrics: tuple[MetricConfig, ...] = ()
    train_metrics: tuple[TrainMetricConfig, ...] = ()
    floor: float = 0.0  # least weight of each loss under Pareto weights

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the predictions, without suffix and duplicates."""
        return tuple(dict.fromkeys(name for loss in self.losses for name in loss.outputs))

    def predict(self, logits_BC: Tensor) -> dict[str, Tensor]:
        """Predictions of all losses, keys with suffix.

        Args:
            logits_BC: float [B, num_class]; half precision is widened, as probabilities need the digits.
        """
        if logits_BC.dtype in (torch.float16, torch.bfloat16):
            logits_BC = logits_BC.float()
        return {name + self.suffix: p for loss in self.losses for name, p in loss.predictions(logits_BC).items()}

    @property
    def output_names(self) -> list[str]:
        """Names of the predictions, with suffix."""
        return [name + self.suffix for name in self.outputs]

    def own(self, predictions: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """This task's part of a model's predictions for a batch, keys without suffix."""
        return {name: predictions[name + self.suffix] for name in self.outputs}

    def loss(self, predictions: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Mean of each loss over the batch, keys `<loss><suffix>`."""
        own, label_B = self.own(predictions, batch), batch.labels[self.label]
        found = {}
        for loss in self.losses:
            if label_B.device.type == "cpu":
                check_labels(loss, label_B, self.label)
            cost_B = loss.rows(own, label_B, batch)
            weight_B = self.weights.of(batch.sample_weights, batch.labels, cost_B)
            found[loss.name + self.suffix] = weighted_mean(cost_B, weight_B)
        return found


def single_task(config: EasyRecConfig, features: FeatureSet, problems: Problems) -> Task:
    """The task of a model with one output: first label, first sample weight."""
    data, model = config.data_config, config.model_config
    if not data.label_fields:
        problems.add("data_config.label_fields is empty; name the label column")
    return _with_losses(
        Task(
            label=data.label_fields[0] if data.label_fields else "",
            num_class=model.num_class,
            weights=RowWeights(column=data.sample_weight_fields[0] if data.sample_weight_fields else None),
        ),
        model,
        "model_config",
        TaskContext(data, features, problems),
    )


def tower_tasks(
    towers: Sequence[Message], where: str, config: EasyRecConfig, features: FeatureSet, problems: Problems
) -> tuple[Task, ...]:
    """One task per task tower.

    Args:
        towers: TaskTower messages, or others with the same fields.
        where: the field that holds them, named in messages.
        config: the config they come from.
        features: the features made of its feature_configs.
        problems: collects what does not fit.
    """
    context = TaskContext(config.data_config, features, problems)
    names = [tower.tower_name for tower in towers]
    if not towers:
        problems.add(f"{where} is empty; a multi-task model needs at least one tower")
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        problems.add(f"{where}: tower_name {name!r} is used {names.count(name)} times; give every tower its own")
    return tuple(
        _tower_task(tower, _label_of(tower, i, context.data), f"{where}[{i}] ({tower.tower_name})", context)
        for i, tower in enumerate(towers)
    )


def _label_of(tower: Message, number: int, data: DataConfig) -> str:
    """A tower that names no label takes the one at its own place in label_fields, "" when there is none."""
    if tower.HasField("label_name") or number >= len(data.label_fields):
        return tower.label_name
    return data.label_fields[number]


@dataclass(frozen=True)
class TaskContext:
    """What tasks are checked against."""

    data: DataConfig
    features: FeatureSet
    problems: Problems

    def check_column(self, name: str, allowed: Iterable[str], what: str, where: str) -> None:
        """Report a column that `allowed` (the DataConfig field `what`) does not list."""
        if name not in allowed:
            self.problems.add(f"{where}: {name!r} is not in data_config.{what}{hint(name, allowed)}")


def _tower_task(tower: Message, label: str, where: str, context: TaskContext) -> Task:
    data, weights = context.data, _tower_weights(tower)
    context.check_column(label, data.label_fields, "label_fields", f"{where}.label_name")
    if weights.column is not None:
        allowed = data.sample_weight_fields
        context.check_column(weights.column, allowed, "sample_weight_fields", f"{where}.sample_weight_name")
    if weights.indicator is not None:
        place = f"{where}.task_space_indicator_label"
        context.check_column(weights.indicator, data.label_fields, "label_fields", place)
    floor = tower.pareto_min_loss_weight
    task = Task(label, f"_{tower.tower_name}", tower.num_class, weights=weights, floor=floor)
    return _with_losses(task, tower, where, context)


def _tower_weights(tower: Message) -> RowWeights:
    fields = tower.DESCRIPTOR.fields_by_name
    has_column = "sample_weight_name" in fields and tower.HasField("sample_weight_name")
    return RowWeights(
        column=tower.sample_weight_name if has_column else None,
        indicator=tower.task_space_indicator_label if tower.HasField("task_space_indicator_label") else None,
        inside=tower.in_task_space_weight,
        outside=tower.out_task_space_weight,
        scale=tower.weight if tower.HasField("weight") else None,
    )


def _with_losses(task: Task, config: Message, where: str, context: TaskContext) -> Task:
    """Add the losses and metrics of a ModelConfig or tower, reporting what does not fit."""
    problems, losses = context.problems, []
    if not config.losses:
        problems.add(f"{where}.losses is empty; set at least one, such as losses {{ binary_cross_entropy {{}} }}")
    for i, loss in enumerate(config.losses):
        with problems.at(f"{where}.losses[{i}]"):
            losses.append(make_loss(loss, config.num_class))
        if loss_name(loss) == "jrc_loss":
            _check_key(loss.jrc_loss.session_name, "session_name", f"{where}.losses[{i}].jrc_loss", context)
    task = replace(task, losses=tuple(losses), metrics=tuple(config.metrics), train_metrics=tuple(config.train_metrics))
    _check_unique([loss.name for loss in losses], f"{where}.losses", problems)
    if losses and len(losses) == len(config.losses):
        _check_metrics(task, where, context)
    return task


def _check_metrics(task: Task, where: str, context: TaskContext) -> None:
    problems = context.problems
    for i, metric in enumerate(task.metrics):
        with problems.at(f"{where}.metrics[{i}]"):
            make_metric(metric, task.num_class, task.outputs)
        if (name := metric_name(metric)) in ("grouped_auc", "grouped_xauc", "grouped_recall_at_k"):
            key = getattr(metric, name).grouping_key
            _check_key(key, "grouping_key", f"{where}.metrics[{i}].{name}", context)
    for i, train_metric in enumerate(task.train_metrics):
        with problems.at(f"{where}.train_metrics[{i}]"):
            make_train_metric(train_metric, task.num_class, task.outputs)
    _check_unique([metric_key(m) for m in task.metrics], f"{where}.metrics", problems)
    _check_unique([metric_key(m) for m in task.train_metrics], f"{where}.train_metrics", problems)


def _check_unique(names: list[str], where: str, problems: Problems) -> None:
    for name in dict.fromkeys(n for n in names if n and names.count(n) > 1):
        problems.add(f"{where}: {name} is given {names.count(name)} times, but is reported under one name; keep one")


def _check_key(key: str, field: str, where: str, context: TaskContext) -> None:
    by_name = context.features.by_name
    plain = [f.name for f in by_name.values() if f.is_sparse and not f.is_sequence]
    if key in plain or key in context.data.label_fields:
        return
    what = "a dense or sequence feature" if key in by_name else "no feature"
    context.problems.add(
        f"{where}: {field} {key!r} is {what}; it must be a sparse feature without sequence, or a label column"
        f"{hint(key, [*plain, *context.data.label_fields])}"
    )
