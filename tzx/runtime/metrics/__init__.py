"""Metrics that give the same value on one and on several processes, and their decayed twins for training."""

from tzx.runtime.metrics.base import MeanOf, Metric
from tzx.runtime.metrics.decay import Decayed
from tzx.runtime.metrics.factory import make_metric, make_train_metric, metric_key, metric_name

__all__ = ["Decayed", "MeanOf", "Metric", "make_metric", "make_train_metric", "metric_key", "metric_name"]
