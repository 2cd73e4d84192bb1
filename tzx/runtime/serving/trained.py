"""The trained model as one plain module in one process, without torch.distributed."""

import difflib
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.errors import ConfigError, UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.models.base import Model
from tzx.runtime.protos.export_pb2 import ExportConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.predictor import to_numpy
from tzx.runtime.training.checkpoint import (
    committed_checkpoints,
    load_tensors,
    load_unsharded,
    resolve_checkpoint,
    step_of,
)
from tzx.runtime.training.evaluation import RESULTS

logger = logging.getLogger("tzx")


@dataclass(frozen=True)
class TrainedModel:
    """A model in eval mode with the weights of a checkpoint; scores batches as a Predictor does."""

    config: EasyRecConfig
    features: FeatureSet
    model: Model
    device: torch.device

    @property
    def layout(self) -> BatchLayout:
        """How batches for this model are laid out."""
        return BatchLayout.from_features(self.features.features)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the predictions."""
        return tuple(self.model.output_names)

    def predict(self, rows: pa.RecordBatch) -> dict[str, np.ndarray]:
        """Predictions by name for at least one row."""
        return self.predict_batch(pack(self.features.generate(rows), self.layout, rows.num_rows))

    def predict_batch(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by name, each with one entry per row."""
        with torch.inference_mode():
            predictions = self.model.predict(batch.to(self.device))
        return {name: to_numpy(predictions[name]) for name in self.output_names}


def load_trained(config: EasyRecConfig, checkpoint: Path, device: torch.device | None = None) -> TrainedModel:
    """Build the model of `config` and fill it from a checkpoint of any number of processes."""
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    model = build_model(config, features)
    load_unsharded(checkpoint, model)
    if _wants_average(config) and (checkpoint / "dense_ema").is_dir():
        left = load_tensors(checkpoint / "dense_ema", _dense_tensors(model))
        for name in left:
            logger.warning("no moving average of %s; its plain value is used", name)
    device = device or torch.device("cpu")
    return TrainedModel(config, features, model.to(device).eval(), device)


def choose_checkpoint(config: EasyRecConfig, given: str | None) -> Path:
    """The checkpoint `given`, or the one of the model directory that export_config asks for.

    Args:
        config: says exporter_type, best_exporter_metric and metric_larger_is_better.
        given: a checkpoint, a model directory, or nothing for the config's model_dir.

    Raises:
        UserError: there is no checkpoint, or no evaluation result to tell which one is best.
    """
    path = Path(given or config.model_dir)
    kind = config.export_config.exporter_type
    if kind not in ("latest", "best"):
        raise ConfigError(f"export_config.exporter_type is {kind!r}; it can be 'latest' or 'best'")
    newest = resolve_checkpoint(path)
    return newest if newest == path or kind == "latest" else _best_checkpoint(path, config.export_config)


def _best_checkpoint(model_dir: Path, config: ExportConfig) -> Path:
    values = _evaluations(model_dir / RESULTS, config.best_exporter_metric)
    present = {step_of(path): path for path in committed_checkpoints(model_dir)}
    sign = 1 if config.metric_larger_is_better else -1
    ranked = sorted(values, key=lambda step: sign * values[step])
    kept = [step for step in ranked if step in present]
    if not kept:
        raise UserError(f"{model_dir}: none of its checkpoints was evaluated; set exporter_type to 'latest'")
    if kept[-1] != ranked[-1]:
        logger.warning("step %d was best but its checkpoint is gone; taking step %d", ranked[-1], kept[-1])
    logger.info("best checkpoint: step %d, %s %.6f", kept[-1], config.best_exporter_metric, values[kept[-1]])
    return present[kept[-1]]


def _evaluations(results: Path, metric: str) -> dict[int, float]:
    if not results.is_file():
        raise UserError(f"{results} is missing, so no checkpoint can be called best; set exporter_type to 'latest'")
    lines = [json.loads(line) for line in results.read_text().splitlines() if line.strip()]
    values = {int(line["global_step"]): float(line[metric]) for line in lines if metric in line}
    if not values:
        known = sorted({name for line in lines for name in line} - {"global_step"})
        near = difflib.get_close_matches(metric, known, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise UserError(f"best_exporter_metric {metric!r} is not in {results} (it has {', '.join(known)}){hint}")
    return {step: value for step, value in values.items() if not math.isnan(value)}


def _wants_average(config: EasyRecConfig) -> bool:
    if config.export_config.HasField("use_dense_ema"):
        return config.export_config.use_dense_ema
    return config.train_config.dense_optimizer.HasField("ema")


def _dense_tensors(model: Model) -> dict[str, torch.Tensor]:
    # Tables are trained by their own optimizer and have no average.
    return {name: p.data for name, p in model.named_parameters() if ".collection." not in name}
