"""The one path every training-side app walks: config -> features -> model -> plan -> sharded model and optimizers.

A Session holds what the way has built; apps differ only in what they then do with it.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torchrec.distributed import DistributedModelParallel
from torchrec.distributed.types import ShardingEnv

from tzx.runtime.data.loader import DataLoader, LoaderOptions
from tzx.runtime.embedding.cluster import Cluster
from tzx.runtime.embedding.plan_files import describe_plan
from tzx.runtime.embedding.sharders import make_sharders
from tzx.runtime.errors import UserError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models.base import Model
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.training.batches import Requests
from tzx.runtime.training.checkpoint import foreign_checkpoints
from tzx.runtime.training.ema import MovingAverage
from tzx.runtime.training.id_maps import IdMaps, Part, Placing, make_id_maps
from tzx.runtime.training.lock import Lock
from tzx.runtime.training.optimizers import ScheduledOptimizer, build_dense_optimizers
from tzx.runtime.training.planning import LossModule, is_table, request_plan
from tzx.runtime.training.precision import make_scaler, set_tf32, warn_if_slower
from tzx.runtime.training.process import Process
from tzx.runtime.training.schedules import make_schedule
from tzx.runtime.training.seeds import seed_everything
from tzx.runtime.training.settings import RunSettings
from tzx.runtime.training.sharding import make_plan
from tzx.runtime.training.storage import location
from tzx.runtime.training.table_optimizers import initial_accumulator, initialise_accumulators
from tzx.runtime.training.threads import set_threads

logger = logging.getLogger("tzx")

logging.getLogger("torch.fx").setLevel(logging.ERROR)  # warns once per process about a function torchrec calls

PREFIX = "model."  # what LossModule puts before the model's parameter names


@dataclass
class Session:
    """Everything that training or evaluation works on."""

    config: EasyRecConfig
    process: Process
    settings: RunSettings
    features: FeatureSet
    model: Model
    sharded: DistributedModelParallel
    plan: dict[str, Any]
    table_optimizer: ScheduledOptimizer | None = None
    dense_optimizers: list[ScheduledOptimizer] = field(default_factory=list)
    ema: MovingAverage | None = None
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler(enabled=False))
    id_maps: IdMaps | None = None
    step: int = 0
    table_steps: int = 0  # updates that the state of the table optimizer has seen
    epoch: int = 0
    event_time: int = 0  # the latest of the current epoch, in Unix seconds; 0 where unknown
    position: Mapping[str, int] | None = None  # rows of the current epoch already trained on, by source
    saved: Path | None = None  # the newest checkpoint in model_dir that this session has written or started from
    requests: Requests = field(default_factory=Requests)
    lock: Lock | None = None  # of model_dir, on the rank that holds it

    @property
    def model_dir(self) -> Path:
        """Where checkpoints, logs and results of this run go."""
        return location(self.config.model_dir)

    def loader(self, paths: str, mode: Literal["train", "eval"]) -> DataLoader:
        """A loader of this rank's share of `paths`."""
        process = self.process
        options = LoaderOptions(
            rank=process.rank,
            world_size=process.world_size,
            mode=mode,
            seed=self.settings.seed,
            local_world_size=process.local_world_size,
            device=process.device.type,
        )
        return DataLoader(self.config.data_config, self.features, paths, options)

    def optimizers(self) -> Iterator[ScheduledOptimizer]:
        """Table optimizer first, then the dense ones, as their learning rates are listed."""
        if self.table_optimizer is not None:
            yield self.table_optimizer
        yield from self.dense_optimizers

    def averaged(self, wanted: bool) -> AbstractContextManager[None]:
        """Use the moving average of the dense parameters within, where there is one and it is wanted."""
        return self.ema.applied() if wanted and self.ema is not None and self.ema.updates else nullcontext()


def build_session(config: EasyRecConfig, process: Process, settings: RunSettings, training: bool) -> Session:
    """Walk the whole path. The process group must have been joined.

    Args:
        config: a checked config.
        process: this process.
        settings: seed and determinism.
        training: also build optimizers; evaluation goes without.
    """
    seed_everything(settings.seed, settings.deterministic)
    set_tf32(config.train_config)
    if process.is_chief:
        warn_if_slower(config.train_config.mixed_precision, process.device)
    features = FeatureSet.from_config(config.feature_configs, config.data_config)
    planner = config.train_config.sharding_planner
    cluster = Cluster.from_config(planner, process.world_size, process.local_world_size, process.device.type)
    request = request_plan(config, features, cluster, training)
    set_threads(request.dense_parameters, config.data_config.batch_size, process)
    plan = make_plan(request, process, planner.plan_file)
    seed_everything(settings.seed + process.rank, settings.deterministic)  # ranks initialise different table shards
    model = request.module.model
    sharded = _shard(request.module, plan, process)
    session = Session(config, process, settings, features, model, sharded, describe_plan(plan))
    session = _with_optimizers(session) if training else session
    session.id_maps = _make_id_maps(session)
    return session


def _shard(module: LossModule, plan: Any, process: Process) -> DistributedModelParallel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torchrec warns about its own internals
        sharded = DistributedModelParallel(
            module=module,
            env=ShardingEnv.from_process_group(torch.distributed.group.WORLD),
            device=process.device,
            plan=plan,
            sharders=make_sharders(process.device.type),
            init_data_parallel=process.world_size > 1,
        )
    return sharded


def _with_optimizers(session: Session) -> Session:
    config = session.config.train_config
    fused: Any = session.sharded.fused_optimizer
    table_optimizer = None
    if session.model.tables:
        for group in fused.param_groups:
            group["frozen"] = group["lr"] == 0
        initialise_accumulators(config.sparse_optimizer, fused)
        base_lr = getattr(config.sparse_optimizer, config.sparse_optimizer.WhichOneof("optimizer")).lr
        schedule, by_epoch = make_schedule(config.sparse_optimizer, base_lr)
        table_optimizer = ScheduledOptimizer("tables", fused, schedule, by_epoch)
    dense = build_dense_optimizers(config.dense_optimizer, _dense_parameters(session))
    ema = None
    if config.dense_optimizer.HasField("ema"):
        ema = MovingAverage(dict(_dense_parameters(session)), config.dense_optimizer.ema.decay)
    scaler = make_scaler(config, session.process.device)
    return replace(session, table_optimizer=table_optimizer, dense_optimizers=dense, ema=ema, scaler=scaler)


def _make_id_maps(session: Session) -> IdMaps | None:
    weights = {name: weight for name, weight in session.sharded.state_dict().items() if is_table(name)}
    optimizer: Any = session.table_optimizer.optimizer if session.table_optimizer else None
    states = optimizer.state_dict()["state"] if optimizer else {}
    process, config = session.process, session.config.train_config.sparse_optimizer
    placing = Placing(Part(process.rank, process.world_size), session.settings.seed, initial_accumulator(config))
    return make_id_maps(session.model, weights, states, placing)


def _dense_parameters(session: Session) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in session.sharded.named_parameters():
        if not hasattr(parameter, "_in_backward_optimizers") and not is_table(name):
            yield name, parameter


def check_model_dir(model_dir: Path, has_checkpoint: bool, continue_train: bool) -> None:
    """Refuse to train over an existing checkpoint unless asked to go on from it, and over those of other programs."""
    if foreign := foreign_checkpoints(model_dir):
        raise UserError(f"{foreign[0]} was not made by tzx and would be overwritten; choose another --model_dir")
    if has_checkpoint and not continue_train:
        raise UserError(
            f"{model_dir} already holds a checkpoint; pass --continue_train to go on from it, "
            f"or choose another --model_dir"
        )
