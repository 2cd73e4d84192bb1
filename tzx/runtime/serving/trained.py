"""The trained model as one plain module in one process, without torch.distributed."""

import logging
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
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.predictor import to_numpy
from tzx.runtime.training.best import best_checkpoint
from tzx.runtime.training.checkpoint import resolve_checkpoint, step_of
from tzx.runtime.training.id_map_state import load_maps
from tzx.runtime.training.storage import location
from tzx.runtime.training.tensor_files import load_tensors, load_unsharded

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
    ids = model.embedding_groups.dynamic
    if ids is not None and (left := load_maps(checkpoint, ids, step_of(checkpoint))):
        raise UserError(f"checkpoint {checkpoint} does not fit this config: ids of {'; '.join(left)}")
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
    path = location(given or config.model_dir)
    kind = config.export_config.exporter_type
    if kind not in ("latest", "best"):
        raise ConfigError(f"export_config.exporter_type is {kind!r}; it can be 'latest' or 'best'")
    newest = resolve_checkpoint(path)
    return newest if newest == path or kind == "latest" else best_checkpoint(path, config.export_config)


def _wants_average(config: EasyRecConfig) -> bool:
    if config.export_config.HasField("use_dense_ema"):
        return config.export_config.use_dense_ema
    return config.train_config.dense_optimizer.HasField("ema")


def _dense_tensors(model: Model) -> dict[str, torch.Tensor]:
    # Tables are trained by their own optimizer and have no average.
    return {name: p.data for name, p in model.named_parameters() if ".collection." not in name}
