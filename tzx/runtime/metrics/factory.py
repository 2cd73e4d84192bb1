"""From MetricConfig and TrainMetricConfig to metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from tzx.runtime.errors import ConfigError
from tzx.runtime.metrics.auc import AUC
from tzx.runtime.metrics.base import Metric, SumMetric
from tzx.runtime.metrics.calibration import Calibration, ExpectedCalibrationError
from tzx.runtime.metrics.decay import Decayed
from tzx.runtime.metrics.entropy import LogLoss, NormalizedEntropy
from tzx.runtime.metrics.grouped_auc import GroupedAUC
from tzx.runtime.metrics.multiclass_auc import MulticlassAUC
from tzx.runtime.metrics.pointwise import BinaryAccuracy, MeanAbsoluteError, MeanSquaredError, TopKAccuracy
from tzx.runtime.metrics.recall import GroupedRecallAtK, Precision, Recall, RecallAtK
from tzx.runtime.metrics.xauc import XAUC, BatchXAUC, GroupedXAUC
from tzx.runtime.protos import metric_pb2


@dataclass(frozen=True)
class Measured:
    """What a metric is computed from: the task's number of classes and the names of its predictions."""

    num_class: int
    outputs: Sequence[str]

    def binary(self, name: str) -> str:
        """Name of the probability of the positive class."""
        for output in ("probs1", "probs"):
            if output in self.outputs and self.num_class <= 2:
                return output
        raise ConfigError(
            f"metric {name} needs the probability of one of two classes: num_class 1 with binary_cross_entropy or "
            f"num_class 2 with softmax_cross_entropy; given num_class {self.num_class} with outputs {self._given()}"
        )

    def scalar(self, name: str) -> str:
        """Name of the one number that is predicted per row: a value, else the probability of the positive class."""
        return "y" if "y" in self.outputs else self.binary(name)

    def need(self, output: str, name: str, remedy: str) -> None:
        """Raise unless `output` is predicted."""
        if output not in self.outputs:
            raise ConfigError(f"metric {name} needs the prediction {output!r} ({remedy}); outputs are {self._given()}")

    def _given(self) -> str:
        return ", ".join(self.outputs) or "none"


def _auc(config: metric_pb2.AUC, measured: Measured) -> SumMetric:
    return AUC(config.thresholds, measured.binary("auc"))


def _accuracy(config: metric_pb2.Accuracy, measured: Measured) -> SumMetric:
    measured.need("probs", "accuracy", "from a cross entropy loss")
    if measured.num_class == 1:
        return BinaryAccuracy(config.threshold)
    if not 1 <= config.top_k <= measured.num_class:
        raise ConfigError(f"metric accuracy has top_k {config.top_k}; allowed: 1 to num_class {measured.num_class}")
    return TopKAccuracy(config.top_k)


def _mean_absolute_error(config: metric_pb2.MeanAbsoluteError, measured: Measured) -> SumMetric:
    measured.need("y", "mean_absolute_error", "from l2_loss")
    return MeanAbsoluteError()


def _mean_squared_error(config: metric_pb2.MeanSquaredError, measured: Measured) -> SumMetric:
    measured.need("y", "mean_squared_error", "from l2_loss")
    return MeanSquaredError()


def _multiclass_auc(config: metric_pb2.MulticlassAUC, measured: Measured) -> SumMetric:
    measured.need("probs", "multiclass_auc", "from softmax_cross_entropy")
    if measured.num_class < 2:
        raise ConfigError(f"metric multiclass_auc needs num_class of 2 or more, given {measured.num_class}; use auc")
    if config.average not in ("macro", "weighted"):
        raise ConfigError(f"metric multiclass_auc has average {config.average!r}; allowed: macro and weighted")
    return MulticlassAUC(config.thresholds, measured.num_class, config.average)


def _check_eta(eta: float, name: str) -> None:
    if not 0 <= eta < 0.5:
        raise ConfigError(f"metric {name} has eta {eta:g}; allowed: 0 up to, not with, 0.5")


def _log_loss(config: metric_pb2.LogLoss, measured: Measured) -> SumMetric:
    _check_eta(config.eta, "log_loss")
    measured.need("probs", "log_loss", "from a cross entropy loss")
    return LogLoss(config.eta, "probs")


def _expected_calibration_error(config: metric_pb2.ExpectedCalibrationError, measured: Measured) -> SumMetric:
    if config.bins < 1:
        raise ConfigError(f"metric expected_calibration_error has bins {config.bins}; allowed: 1 or more")
    return ExpectedCalibrationError(config.bins, measured.binary("expected_calibration_error"))


def _threshold(config: metric_pb2.Recall | metric_pb2.Precision, name: str) -> float:
    if not 0 <= config.threshold <= 1:
        raise ConfigError(f"metric {name} has threshold {config.threshold:g}; allowed: 0 to 1")
    return config.threshold


def _check_top_k(top_k: int, name: str) -> None:
    if top_k < 1:
        raise ConfigError(f"metric {name} has top_k {top_k}; allowed: 1 or more")


def _grouped_recall_at_k(config: metric_pb2.GroupedRecallAtK, measured: Measured) -> Metric:
    _check_top_k(config.top_k, "grouped_recall_at_k")
    return GroupedRecallAtK(config.grouping_key, measured.binary("grouped_recall_at_k"), config.top_k)


def _normalized_entropy(config: metric_pb2.NormalizedEntropy, measured: Measured) -> SumMetric:
    _check_eta(config.eta, "normalized_entropy")
    return NormalizedEntropy(config.eta, measured.binary("normalized_entropy"))


def _recall_at_k(config: metric_pb2.RecallAtK, measured: Measured) -> SumMetric:
    measured.need("similarity", "recall_at_k", "from a two-tower model")
    _check_top_k(config.top_k, "recall_at_k")
    return RecallAtK(config.top_k)


def _xauc(config: metric_pb2.XAUC, measured: Measured) -> Metric:
    output = measured.scalar("xauc")
    return BatchXAUC(output) if config.in_batch else XAUC(output)


_SUMS: dict[str, Callable[..., SumMetric]] = {
    "auc": _auc,
    "accuracy": _accuracy,
    "mean_absolute_error": _mean_absolute_error,
    "mean_squared_error": _mean_squared_error,
    "recall_at_k": _recall_at_k,
    "xauc": lambda config, measured: BatchXAUC(measured.scalar("xauc")),
    "log_loss": _log_loss,
    "calibration": lambda config, measured: Calibration(measured.binary("calibration")),
    "expected_calibration_error": _expected_calibration_error,
    "recall": lambda config, measured: Recall(_threshold(config, "recall"), measured.binary("recall")),
    "precision": lambda config, measured: Precision(_threshold(config, "precision"), measured.binary("precision")),
}
_ALL: dict[str, Callable[..., Metric]] = {
    **_SUMS,
    "multiclass_auc": _multiclass_auc,
    "normalized_entropy": _normalized_entropy,
    "grouped_auc": lambda config, measured: GroupedAUC(config.grouping_key, measured.binary("grouped_auc")),
    "xauc": _xauc,
    "grouped_recall_at_k": _grouped_recall_at_k,
    "grouped_xauc": lambda config, measured: GroupedXAUC(config.grouping_key, measured.scalar("grouped_xauc")),
}


def metric_name(config: metric_pb2.MetricConfig | metric_pb2.TrainMetricConfig) -> str:
    """Field name of the metric that is set, "" when none is."""
    return config.WhichOneof("metric") or ""


def metric_key(config: metric_pb2.MetricConfig | metric_pb2.TrainMetricConfig) -> str:
    """What the metric is reported as, before the suffix: its name, with its number in place of `_at_k`."""
    name = metric_name(config)
    return f"{name.removesuffix('_at_k')}@{getattr(config, name).top_k}" if name.endswith("_at_k") else name


def make_metric(config: metric_pb2.MetricConfig, num_class: int, outputs: Sequence[str]) -> Metric:
    """Build an evaluation metric.

    Args:
        config: which metric, with its fields.
        num_class: classes of the task.
        outputs: names of the task's predictions, without suffix.

    Raises:
        ConfigError: the metric does not exist yet or does not fit the predictions.
    """
    name = metric_name(config)
    _require_known(name, "metrics", _ALL)
    return _ALL[name](_fields_of(config, name), Measured(num_class, outputs))


def make_train_metric(config: metric_pb2.TrainMetricConfig, num_class: int, outputs: Sequence[str]) -> Decayed:
    """Build a decayed metric of the training stream; arguments and errors as `make_metric`."""
    name = metric_name(config)
    _require_known(name, "train_metrics", _SUMS)
    if not 0 <= config.decay_rate < 1:
        raise ConfigError(f"train metric {name} has decay_rate {config.decay_rate:g}; allowed: 0 up to, not with, 1")
    if config.decay_step < 1:
        raise ConfigError(f"train metric {name} has decay_step {config.decay_step}; allowed: 1 or more")
    metric = _SUMS[name](_fields_of(config, name), Measured(num_class, outputs))
    return Decayed(metric, config.decay_rate, config.decay_step)


def _fields_of(config: Message, name: str) -> Message:
    return getattr(config, name)


def _require_known(name: str, field: str, known: dict) -> None:
    allowed = ", ".join(known)
    if not name:
        raise ConfigError(f"a {field} entry is empty; set one of {allowed}")
    if name not in known:
        raise ConfigError(f"metric {name} is not available in {field}; available: {allowed}")
