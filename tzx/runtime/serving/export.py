"""Write a bundle: a directory that predicts by itself.

    model.pt2            graph, for any batch size        features.json   inputs, features and the order of tensors
    weights.safetensors  every weight, once               assets/         vocabularies and the like
    pipeline.config      the effective config             manifest.json   hashes, outputs, step, parity

The bundle grows in a hidden sibling directory and gets its name only after it has scored real rows like the model.
"""

import copy
import dataclasses
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

import tzx
from tzx.runtime.config import dump_config
from tzx.runtime.data.readers import open_reader
from tzx.runtime.embedding.plain import swap_for_serving
from tzx.runtime.errors import StorageError, TzxError, UserError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.assets import copy_assets
from tzx.runtime.serving.manifest import CONFIG, FEATURES, Manifest, describe_files, write_manifest
from tzx.runtime.serving.parity import check_parity
from tzx.runtime.serving.predictor import Predictor
from tzx.runtime.serving.tensors import tensor_names
from tzx.runtime.serving.tracing import example_batch, output_shapes, save_program, trace
from tzx.runtime.serving.trained import TrainedModel, choose_checkpoint, load_trained
from tzx.runtime.training.checkpoint import step_of

logger = logging.getLogger("tzx")


@dataclass(frozen=True)
class ExportOptions:
    """What the command line adds to the config."""

    asset_files: Sequence[str] = ()
    parity_input_path: str = ""  # default: eval_input_path, else train_input_path
    parity_rows: int = 1000


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    path: Path
    manifest: Manifest


def export_bundle(
    config: EasyRecConfig,
    checkpoint: str | Path | None,
    export_dir: str | Path,
    options: ExportOptions = ExportOptions(),
    trained: TrainedModel | None = None,
) -> ExportReport:
    """Export a trained model.

    Args:
        config: a checked config.
        checkpoint: a checkpoint or a model directory; None for the config's model_dir.
        export_dir: directory to make; must not exist.
        options: assets and the rows to check with.
        trained: a model already in memory, instead of `checkpoint`.

    Raises:
        UserError: `export_dir` exists, there is no checkpoint or no row to check with, or the model cannot be traced.
        ParityError: the bundle does not score as the model does; nothing is written then.
    """
    target = _free_directory(str(export_dir))
    if config.export_config.mixed_precision:
        logger.warning("export_config.mixed_precision is for compiled graphs; this bundle computes in float32")
    step = None
    if trained is None:
        path = choose_checkpoint(config, str(checkpoint) if checkpoint else None)
        step = step_of(path)
        logger.info("exporting %s", path)
        trained = load_trained(config, path)
    rows = read_rows(trained, options)
    with _growing(target) as bundle:
        manifest = replace(_write(bundle, trained, options), checkpoint_step=step)
        write_manifest(bundle, manifest)
        logger.info("checking the bundle on %d rows", rows.num_rows)
        manifest = replace(manifest, parity=check_parity(trained, Predictor(bundle), rows))
        write_manifest(bundle, manifest)
    return ExportReport(target, manifest)


def _free_directory(name: str) -> Path:
    if "://" in name:
        raise UserError(f"--export_dir {name}: a bundle is written to a local directory; copy it from there")
    if Path(name).exists():
        raise UserError(f"{name} already exists; remove it or choose another --export_dir")
    return Path(name)


def read_rows(trained: TrainedModel, options: ExportOptions) -> pa.Table:
    """The first rows of the data to check the export with: columns that features read, at most `parity_rows`."""
    config = trained.config
    path = options.parity_input_path or config.eval_input_path.strip() or config.train_input_path
    try:
        reader = open_reader(config.data_config, path, trained.features.input_columns)
        first = np.array([[0, min(options.parity_rows, reader.num_rows)]])
        batches = [rows.replace_schema_metadata(None) for rows in reader.read(first, options.parity_rows)]
    except TzxError as error:
        remedy = "an export is checked on real rows: name some that can be read here with --parity_input_path"
        raise type(error)(f"{error}\n{remedy}") from None
    if not batches:
        raise UserError(f"{path} has no rows; an export is checked on real rows: name some with --parity_input_path")
    return pa.Table.from_batches(batches)


def _write(bundle: Path, trained: TrainedModel, options: ExportOptions) -> Manifest:
    outputs = trained.output_names
    model = _sharing_weights(trained.model)
    swap_for_serving(model)
    program = trace(model, example_batch(trained.features.features, trained.layout), outputs)
    shapes = output_shapes(program, outputs)
    save_program(program, bundle)
    config = copy_assets(trained.config, bundle, options.asset_files)
    (bundle / CONFIG).write_text(dump_config(config))
    (bundle / FEATURES).write_text(json.dumps(_describe(trained), indent=1) + "\n")
    made_by = {"tzx": tzx.__version__, "torch": torch.__version__}
    return Manifest(describe_files(bundle), shapes, None, {}, made_by)


def _sharing_weights(model: nn.Module) -> nn.Module:
    """A copy of the modules, to be taken apart, on the same tensors."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _describe(trained: TrainedModel) -> dict[str, Any]:
    """What a client needs to know to send rows, and a loader to check that files belong together."""
    features = [
        {
            "name": feature.name,
            "kind": feature.kind,
            "inputs": list(feature.inputs),
            "sequence": feature.is_sequence,
            "sparse": feature.is_sparse,
            "value_dim": feature.value_dim,
            "user": feature.is_user,
        }
        for feature in trained.features.features
    ]
    columns = list(trained.features.input_columns)
    return {
        "input_columns": columns,
        "features": features,
        "settings": dataclasses.asdict(trained.features.settings),
        "tensors": list(tensor_names(trained.layout)),
    }


@contextmanager
def _growing(target: Path) -> Iterator[Path]:
    """A directory that becomes `target` at the end, or vanishes on any failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    try:
        yield hidden
        if target.exists():
            raise UserError(f"{target} appeared during the export; choose another --export_dir")
        hidden.rename(target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
