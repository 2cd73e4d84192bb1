"""Configs whose settings other libraries can match, and the rows those libraries read: ids as tzx makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import Message

from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

if TYPE_CHECKING:
    from tzx.runtime.data.batch import Batch

DENSE_INIT = "nn.init.xavier_normal_"  # FuxiCTR's


def alike(config: EasyRecConfig, init_std: float = 1e-4) -> None:
    """Start of the weights, order of the rows and evaluation as the others have them; unused features go.

    Args:
        config: changed in place.
        init_std: standard deviation that embeddings start with; the default is FuxiCTR's.
    """
    init = f"nn.init.normal_,std={init_std:g}"
    config.train_config.save_checkpoints_epochs = 0  # one checkpoint and evaluation, at the end
    config.train_config.use_tensorboard = False
    config.data_config.shuffle_buffer_size = 100  # all rows: blocks smaller than an epoch cost AUC
    used = {name for group in config.model_config.feature_groups for name in group.feature_names}
    for feature in list(config.feature_configs):
        inner = getattr(feature, feature.WhichOneof("feature") or "")
        name = getattr(inner, "feature_name", "")
        if name and name not in used:
            config.feature_configs.remove(feature)
    for inner in _lookups(config):
        inner.init_fn = init
    config.model_config.dense_init_fn = DENSE_INIT
    own = getattr(config.model_config, config.model_config.WhichOneof("model") or "")
    if "wide_init_fn" in own.DESCRIPTOR.fields_by_name:
        own.wide_init_fn = init


def _lookups(config: EasyRecConfig) -> Iterator[Message]:
    """The messages of all features that can have a table, those of sequences one by one."""
    for feature in config.feature_configs:
        inner = getattr(feature, feature.WhichOneof("feature") or "")
        for one in getattr(inner, "features", [feature]):
            message = getattr(one, one.WhichOneof("feature") or "")
            if message.embedding_dim:
                yield message


def export_rows(config: EasyRecConfig, path: Path) -> Path:
    """Write the features of a config as tzx makes them: one .npz with train and test part."""
    from tzx.runtime.data.loader import DataLoader, LoaderOptions
    from tzx.runtime.features import FeatureSet

    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    sparse = [feature for feature in features.features if feature.is_sparse]
    specs = {f.name: {"rows": f.num_embeddings, "dim": f.embedding_dim, "steps": f.is_sequence} for f in sparse}
    arrays: dict[str, np.ndarray] = {}
    for part, rows in {"train": config.train_input_path, "test": config.eval_input_path}.items():
        loader = DataLoader(config.data_config, features, rows, LoaderOptions(mode="eval"))
        found: dict[str, list[np.ndarray]] = {}
        for batch in loader.epoch():
            found.setdefault("label", []).append(batch.labels[config.data_config.label_fields[0]].numpy())
            if batch.dense.shape[1]:
                found.setdefault("dense", []).append(batch.dense.numpy())
            for feature in sparse:
                found.setdefault(feature.name, []).append(_ids(batch, feature.name, feature.is_sequence))
        arrays |= {f"{part}/{name}": _stacked(parts) for name, parts in found.items()}
    np.savez(path, specs=json.dumps(specs), **arrays)
    return path


def _ids(batch: Batch, name: str, is_sequence: bool) -> np.ndarray:
    """Bags [rows, bag], or the steps of sequences [rows, longest, bag]; ids from 1."""
    if is_sequence:
        elements = batch.sequences[name]
        return _steps(_padded(elements.values.numpy(), elements.key_lengths.numpy()), elements.seq_lengths.numpy())
    ids, lengths = batch.ids_of(name)
    return _padded(ids.numpy(), lengths.numpy())


def _padded(ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bags as rows of ids + 1, filled up with 0."""
    out = np.zeros((len(lengths), max(int(lengths.max(initial=1)), 1)), dtype=np.int64)
    out[np.arange(out.shape[1]) < lengths[:, None]] = ids + 1
    return out


def _steps(bags: np.ndarray, lengths: np.ndarray, longest: int = 50) -> np.ndarray:
    """Elements of sequences as [rows, longest, bag]; 0 where there is none."""
    out = np.zeros((len(lengths), longest, bags.shape[1]), dtype=np.int64)
    out[np.arange(longest) < lengths[:, None]] = bags
    return out


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    width = max(part.shape[-1] for part in parts) if parts[0].ndim > 1 else 0
    if width:
        parts = [np.pad(p, [(0, 0)] * (p.ndim - 1) + [(0, width - p.shape[-1])]) for p in parts]
    return np.concatenate(parts)
