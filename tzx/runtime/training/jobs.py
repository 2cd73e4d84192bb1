"""What the train and eval apps do, from a checked config to files in the model directory."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tzx.runtime.errors import UserError
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import state
from tzx.runtime.training.evaluation import bad_values, evaluate, record
from tzx.runtime.training.fine_tuning import fine_tune
from tzx.runtime.training.lock import Lock, locked
from tzx.runtime.training.loop import TrainingLoop
from tzx.runtime.training.ownership import begun_by_this_job, note_job
from tzx.runtime.training.peers import watched_peers
from tzx.runtime.training.process import Process, restarts
from tzx.runtime.training.ranks import Ranks
from tzx.runtime.training.session import Session, build_session, check_model_dir
from tzx.runtime.training.settings import RunSettings
from tzx.runtime.training.storage import location
from tzx.runtime.training.summaries import Summaries

logger = logging.getLogger("tzx")


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to the config."""

    continue_train: bool = False
    ignore_restore_optimizer: bool = False
    seed: int | None = None


def train(config: EasyRecConfig, options: TrainOptions) -> None:
    """Train, evaluating at each checkpoint; refuses to start over an existing checkpoint, unless it is its own."""
    model_dir = location(config.model_dir)
    has_checkpoint = ckpt.latest_checkpoint(model_dir) is not None
    check_model_dir(model_dir, has_checkpoint, options.continue_train or restarts() > 0 or begun_by_this_job(model_dir))
    with _joined() as process, _holding(model_dir) as lock:
        session = build_session(config, process, RunSettings.from_env(options.seed), training=True)
        session.lock = lock
        train_loader = session.loader(config.train_input_path, "train")
        eval_loader = session.loader(config.eval_input_path, "eval") if config.eval_input_path.strip() else None
        _restore(session, options)
        if process.is_chief:
            state.write_run_files(session)
            note_job(model_dir)
            _log_plan(session, train_loader.num_rows)
        board = Summaries(model_dir / "eval_val", process.is_chief and config.train_config.use_tensorboard)

        def on_checkpoint() -> None:
            if eval_loader is not None:
                before = Counter(eval_loader.bad_values)
                with session.averaged(_wants_ema(config)):
                    metrics = evaluate(session, eval_loader)
                seen = eval_loader.bad_values - before
                record(session, metrics, bad_values(session, train=train_loader.bad_values, eval=seen))
                board.scalars("metric", metrics, session.step)

        with ExitStack() as stack, watched_peers(process, session.requests):
            for loader in filter(None, (train_loader, eval_loader)):
                stack.callback(loader.close)
            TrainingLoop(session, train_loader, on_checkpoint).run()
        board.close()


def evaluate_checkpoint(config: EasyRecConfig, checkpoint: str | None, result_name: str) -> dict[str, float]:
    """Evaluate a checkpoint on `eval_input_path` and write `model_dir/<result_name>`."""
    if not config.eval_input_path.strip():
        raise UserError("nothing to evaluate on: give --eval_input_path, or set eval_input_path in the config")
    with _joined() as process:
        path = ckpt.resolve_checkpoint(checkpoint or config.model_dir)
        session = build_session(config, process, RunSettings.from_env(None), training=False)
        loader = session.loader(config.eval_input_path, "eval")
        state.restore_for_eval(session, path, _wants_ema(config))
        if process.is_chief:
            logger.info("evaluating %s on %s rows", path, f"{loader.num_rows:,}")
        metrics = evaluate(session, loader)
        record(session, metrics, bad_values(session, eval=loader.bad_values), result_name)
        if process.is_chief:
            board = Summaries(session.model_dir / "eval", enabled=config.train_config.use_tensorboard)
            board.scalars("metric", metrics, session.step)
            board.close()
    return metrics


@contextmanager
def _joined() -> Iterator[Process]:
    process = Process.from_env()
    process.join_group()
    try:
        yield process
    finally:
        process.leave_group()


@contextmanager
def _holding(model_dir: Path) -> Iterator[Lock | None]:
    """Keep other trainings out of a model directory, for all ranks together."""
    with ExitStack() as stack:
        ranks, held = Ranks(), []
        ranks.chief_does(lambda: held.append(stack.enter_context(locked(model_dir))))
        yield held[0] if held else None


def _restore(session: Session, options: TrainOptions) -> None:
    config = session.config.train_config
    latest = ckpt.find_intact(session.model_dir)
    if latest is not None:
        state.restore(session, latest)
        if not options.ignore_restore_optimizer:
            state.load_optimizers(session, latest)
        logger.info("going on from %s: epoch %d, step %d", latest, session.epoch, session.step)
    elif config.fine_tune_checkpoint:
        fine_tune(session)


def _wants_ema(config: EasyRecConfig) -> bool:
    if config.eval_config.HasField("use_dense_ema"):
        return config.eval_config.use_dense_ema
    return config.train_config.dense_optimizer.HasField("ema")


def _log_plan(session: Session, rows: int) -> None:
    process = session.process
    dense = sum(p.numel() for o in session.dense_optimizers for _, p in o.named_parameters())
    table_rows = sum(t.rows for t in session.model.tables.values())
    logger.info(
        "%s on %d %s process(es): %s training rows, %d tables with %s rows, %s dense parameters",
        session.config.model_config.WhichOneof("model"),
        process.world_size,
        process.device.type,
        f"{rows:,}",
        len(session.model.tables),
        f"{table_rows:,}",
        f"{dense:,}",
    )
