"""What a session saves and restores."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from tzx.runtime.config import dump_config
from tzx.runtime.data.plan import merge_positions
from tzx.runtime.errors import UserError
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training.ema import MovingAverage
from tzx.runtime.training.id_map_state import FOLDER as ID_MAPS
from tzx.runtime.training.id_map_state import load_maps, map_state
from tzx.runtime.training.optimizer_state import (
    accumulated_gradients,
    dense_state,
    load_dense_state,
    load_gradients,
    table_state,
)
from tzx.runtime.training.session import PREFIX, Session
from tzx.runtime.training.storage import write_file
from tzx.runtime.training.tensor_files import TensorMap, load_tensors, read_metadata

logger = logging.getLogger("tzx")


def model_state(session: Session) -> TensorMap:
    """Live parameters and buffers by their names in an unsharded model."""
    state = session.sharded.state_dict()
    return {
        name.removeprefix(PREFIX): value
        for name, value in state.items()
        if isinstance(value, Tensor) or hasattr(value, "local_shards")
    }


def snapshot(session: Session) -> ckpt.Snapshot:
    """What a checkpoint of the session holds, as live tensors by folder and name; all ranks call this together.

    Whatever has state that a resumed run needs adds a folder of named tensors here, and takes it back in `restore`.
    """
    folders = {"model": model_state(session)}
    if session.table_optimizer or session.dense_optimizers:
        folders["optimizer"] = _optimizer_state(session)
    if session.id_maps is not None:
        folders[ID_MAPS] = map_state(session.id_maps.ids, session.id_maps.part)
    if session.ema is not None and session.ema.updates:
        folders["dense_ema"] = _averages(session.ema)
    if gradients := accumulated_gradients(session.dense_optimizers, PREFIX):
        folders["gradients"] = gradients
    if metrics := session.model.train_metric_state():
        folders["train_metrics"] = metrics
    files = {
        "plan": session.plan,
        "dataloader_state.json": _merged_position(session),
        "meta": {
            "step": session.step,
            "table_steps": session.table_steps,
            "epoch": session.epoch,
            "event_time": session.event_time,
            "ema_updates": session.ema.updates if session.ema else 0,
            "grad_scaler": session.scaler.state_dict(),
        },
    }
    return ckpt.Snapshot(session.model_dir / f"model.ckpt-{session.step}", folders, files)


def _averages(ema: MovingAverage) -> TensorMap:
    return {name.removeprefix(PREFIX): tensor for name, tensor in ema.tensors.items()}


def _optimizer_state(session: Session) -> TensorMap:
    state = dense_state(session.dense_optimizers, PREFIX)
    if session.table_optimizer is not None:
        state |= table_state(session.table_optimizer.optimizer, PREFIX)
    return state


def _merged_position(session: Session) -> dict[str, int]:
    """What all ranks together have read of the current epoch."""
    parts: list[Any] = [dict(session.position or {})]
    if session.process.world_size > 1:
        parts = [None] * session.process.world_size
        dist.all_gather_object(parts, dict(session.position or {}))
    return merge_positions(parts)


def restore(session: Session, checkpoint: Path) -> None:
    """Go on where `checkpoint` stopped: parameters, step, epoch, data position and all that the training keeps."""
    meta = ckpt.read_json(checkpoint / "meta", {})
    session.step = meta.get("step", ckpt.step_of(checkpoint))
    load_model(session, checkpoint)
    session.epoch, session.event_time = meta.get("epoch", 0), meta.get("event_time", 0)
    session.position = ckpt.read_json(checkpoint / "dataloader_state.json") or None
    session.saved = checkpoint
    if meta.get("grad_scaler") and session.scaler.is_enabled():
        moving = {name: meta["grad_scaler"][name] for name in ("scale", "_growth_tracker")}
        session.scaler.load_state_dict(session.scaler.state_dict() | moving)
    if (checkpoint / "gradients").is_dir():
        load_gradients(checkpoint / "gradients", session.dense_optimizers, PREFIX)
    if (checkpoint / "train_metrics").is_dir():
        metrics = session.model.train_metric_state()
        _warn("train metric", load_tensors(checkpoint / "train_metrics", metrics))
        session.model.load_train_metric_state(metrics, session.process.is_chief)
    if session.ema is not None and (checkpoint / "dense_ema").is_dir():
        _warn("moving average", load_tensors(checkpoint / "dense_ema", _averages(session.ema)))
        session.ema.updates = meta.get("ema_updates", 0)


def restore_for_eval(session: Session, checkpoint: Path, with_ema: bool) -> None:
    """Fill parameters only; dense ones from their moving average where it was kept and is wanted."""
    session.step = ckpt.step_of(checkpoint)
    load_model(session, checkpoint)
    if with_ema and (checkpoint / "dense_ema").is_dir():
        saved = read_metadata(checkpoint / "dense_ema").state_dict_metadata
        dense = {name: tensor for name, tensor in model_state(session).items() if name in saved}
        _warn("moving average of", load_tensors(checkpoint / "dense_ema", dense))


def load_model(session: Session, checkpoint: Path, names: Mapping[str, str] | None = None) -> list[str]:
    """Fill parameters by name, from a checkpoint of any number of ranks; returns those left, each with the reason."""
    tensors = model_state(session)
    left = load_tensors(checkpoint / "model", tensors, names)
    if len(left) == len(tensors):
        raise UserError(f"checkpoint {checkpoint} has none of this model's parameters; is it of another model?")
    _warn("parameter", left)
    if session.id_maps is not None:
        _warn("ids of", load_maps(checkpoint, session.id_maps.ids, session.step, session.id_maps.part))
        session.id_maps.set_miss_rows()
    return left


def load_optimizers(session: Session, checkpoint: Path) -> None:
    """Fill optimizer state by parameter name."""
    folder = checkpoint / "optimizer"
    if not folder.is_dir():
        logger.warning("%s has no optimizer state; optimizers start afresh", checkpoint)
        return
    meta = ckpt.read_json(checkpoint / "meta", {})
    session.table_steps = meta.get("table_steps", meta.get("step", ckpt.step_of(checkpoint)))
    left = load_dense_state(folder, session.dense_optimizers, PREFIX)
    if session.table_optimizer is not None:
        left += load_tensors(folder, table_state(session.table_optimizer.optimizer, PREFIX))
    _warn("optimizer state of", left)


def write_run_files(session: Session) -> None:
    """Put the effective config beside the checkpoints."""
    write_file(session.model_dir / "pipeline.config", dump_config(session.config))


def _warn(what: str, left: list[str]) -> None:
    for name in left[:20]:
        logger.warning("not restored: %s %s", what, name)
    if len(left) > 20:
        logger.warning("not restored: %d more", len(left) - 20)
