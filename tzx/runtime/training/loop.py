"""The training loop: steps, logs, checkpoints and evaluations at their cadence, and a clean stop on SIGTERM."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.cores import cores_for_me
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.errors import ConfigError, DataError, Preempted, StorageError
from tzx.runtime.features.tolerance import told
from tzx.runtime.training.advice import WaitingAdvice
from tzx.runtime.training.batches import LockstepBatches, Requests, make_filler
from tzx.runtime.training.event_time import is_save_due
from tzx.runtime.training.nonfinite import LossGuard
from tzx.runtime.training.precision import autocast, clip_gradients, unscale_tables
from tzx.runtime.training.profiling import StepProfiler
from tzx.runtime.training.progress import Progress, seconds_since_process_start
from tzx.runtime.training.saving import Saver
from tzx.runtime.training.seeds import seed_step
from tzx.runtime.training.session import Session
from tzx.runtime.training.signals import SignalWatch
from tzx.runtime.training.summaries import Summaries
from tzx.runtime.training.table_optimizers import set_table_steps

logger = logging.getLogger("tzx")


class TrainingLoop:
    """Trains a session to `num_steps` or `num_epochs`.

    Args:
        session: what to train, possibly restored in the middle of an epoch.
        loader: training batches.
        on_checkpoint: called after each checkpoint and at the end, on all ranks; evaluates.
    """

    def __init__(self, session: Session, loader: DataLoader, on_checkpoint: Callable[[], None]) -> None:
        self._session = session
        self._loader = loader
        self._on_checkpoint = on_checkpoint
        self._config = session.config.train_config
        if self._config.HasField("num_steps") == self._config.HasField("num_epochs"):
            raise ConfigError("train_config: set exactly one of num_steps and num_epochs")
        process = session.process
        self._scaler = session.scaler
        self._saver = Saver(session)
        unscale_tables(session.model, self._scaler)
        self._progress = Progress("train", process.world_size, process.is_chief)
        cores = cores_for_me(process.local_world_size)
        self._advice = WaitingAdvice(session.config.data_config, cores, process.device.type == "cuda")
        wants_board = process.is_chief and self._config.use_tensorboard
        self._guard = LossGuard(session, loader)
        self._summaries = Summaries(session.model_dir, wants_board, self._config.tensorboard_summaries)
        self._evaluated_step = -1
        self._bad_values_told = 0
        self._first = True
        self._losses: dict[str, Tensor] = {}  # of the last batch of this rank

    def run(self) -> None:
        """Train to the end; raises Preempted after saving when SIGTERM came."""
        self._session.sharded.train()
        if self._is_done() and self._session.process.is_chief:
            limit = "num_steps" if self._config.HasField("num_steps") else "num_epochs"
            reached = f"train_config.{limit} is {getattr(self._config, limit)}"
            logger.warning("nothing is left to train: %s; raise it to go on", reached)
        try:
            with (
                SignalWatch(self._session.requests),
                StepProfiler(self._session, self._config.is_profiling) as profiler,
            ):
                while not self._is_done():
                    self._run_epoch(profiler)
                self._tell_bad_values()
                self._checkpoint()
                self._saver.finish()
        finally:
            self._saver.close()
            self._summaries.close()
        self._progress.done("trained", "samples", ", checkpoints and evaluation included")

    def _run_epoch(self, profiler: StepProfiler) -> None:
        session = self._session
        start, steps_before = session.position, session.step
        filler = make_filler(session.features, self._loader, session.config.data_config)
        epoch = self._loader.epoch(session.epoch, start, give_up=lambda: session.requests.stop)
        quorum = self._config.save_checkpoints_timestamp_quorum
        for batch, requests in LockstepBatches(epoch, filler, session.process, session.requests, quorum):
            self._answer(requests)
            losses = self._step(batch)
            if not batch.is_filler:
                session.position, self._losses = batch.position, losses
                self._progress.add(batch.size)
            self._after_step(batch.event_time)
            profiler.step()
            if self._is_done():
                return
        if session.step == steps_before and start is None:
            raise DataError(
                f"{session.config.train_input_path}: an epoch without a single batch; is the data empty "
                f"or smaller than one batch with drop_remainder?"
            )
        session.epoch, session.position, session.event_time = session.epoch + 1, None, 0
        every = self._config.save_checkpoints_epochs
        if every and session.epoch % every == 0 and not self._is_done():
            self._checkpoint()

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        session, accumulate = self._session, max(self._config.gradient_accumulation_steps, 1)
        seed_step(session.settings.seed, session.process.rank, session.step)
        for optimizer in session.optimizers():
            optimizer.set_lr(session.step, session.epoch)
        if session.table_optimizer is not None:
            session.table_optimizer.optimizer.zero_grad()  # hands the learning rate to the fused kernels
            set_table_steps(session.table_optimizer.optimizer, session.table_steps)
        if session.id_maps is not None:
            batch = session.id_maps.learn(batch, session.step + 1)
        batch = batch.to(session.process.device, non_blocking=True)
        with autocast(self._config.mixed_precision, session.process.device):
            losses, predictions = session.sharded(batch)
            total = torch.stack(list(losses.values())).sum()
        accepted = self._guard.accepts(batch, losses, predictions)
        if accepted:
            self._scaler.scale(total / accumulate if accumulate > 1 else total).backward()
        if session.id_maps is not None:
            session.id_maps.set_miss_rows()
        if (session.step + 1) % accumulate == 0 and (accepted or accumulate > 1):
            self._update_dense()
        session.step, session.table_steps = session.step + 1, session.table_steps + accepted
        if accepted and not batch.is_filler:
            session.model.update_train_metrics(predictions, batch)
        return losses

    def _update_dense(self) -> None:
        optimizers = self._session.dense_optimizers
        if self._config.HasField("grad_clipping"):
            for scheduled in optimizers:
                self._scaler.unscale_(scheduled.optimizer)
            clip_gradients(self._config.grad_clipping, [p for o in optimizers for _, p in o.named_parameters()])
        for scheduled in optimizers:
            self._scaler.step(scheduled.optimizer)
        if optimizers:
            self._scaler.update()
        if self._session.ema is not None:
            self._session.ema.update()
        self._write_gradients()
        for scheduled in optimizers:
            scheduled.optimizer.zero_grad(set_to_none=True)

    def _after_step(self, event_time: int) -> None:
        session, config = self._session, self._config
        if self._first:
            self._first = False
            if session.process.is_chief:
                logger.info("first step done %.1f s after the process started", seconds_since_process_start())
        if session.step % max(config.log_step_count_steps, 1) == 0:
            self._log()
        before, session.event_time = session.event_time, max(session.event_time, event_time)
        every = 0 if config.save_checkpoints_epochs else config.save_checkpoints_steps
        is_due = bool(every) and session.step % every == 0
        if (is_due or is_save_due(config, before, session.event_time)) and not self._is_done():
            self._checkpoint()

    def _log(self) -> None:
        self._guard.check()
        session, step = self._session, self._session.step
        values = {name: float(loss.detach()) for name, loss in self._losses.items()}
        total = {"total": sum(values.values())}
        metrics = {name: float(value) for name, value in session.model.compute_train_metrics().items()}
        rates = {f"lr_{o.name}": o.lr for o in session.optimizers()}
        ids = session.id_maps.metrics() if session.id_maps is not None else {}
        shown = values | (total if len(values) > 1 else {}) | metrics | rates | ids.get("", {})
        self._progress.line(f"epoch {session.epoch}  step {step}", shown, self._loader.wait_seconds)
        if session.process.is_chief:
            self._advice.consider(self._progress.waited, self._loader.is_tuned)
        self._tell_bad_values()
        if self._summaries.wants("loss"):
            self._summaries.scalars("loss", values | total, step)
        if self._summaries.wants("learning_rate"):
            self._summaries.scalars("lr", {f"g{i}": lr for i, lr in enumerate(rates.values())}, step)
        self._summaries.scalars("metric", metrics, step)
        for name, found in ids.items():
            self._summaries.scalars(f"ids/{name}" if name else "ids", found, step)

    def _write_gradients(self) -> None:
        if self._session.step % max(self._config.log_step_count_steps, 1) != 0:
            return
        named = [pair for scheduled in self._session.dense_optimizers for pair in scheduled.named_parameters()]
        self._summaries.parameters(named, self._session.step)
        if self._summaries.wants("global_gradient_norm"):
            norms = [p.grad.norm() for _, p in named if p.grad is not None]
            norm = torch.stack(norms).norm().item() if norms else 0.0
            self._summaries.scalars("gradient", {"global_norm": norm}, self._session.step)

    def _checkpoint(self) -> None:
        if self._evaluated_step == self._session.step:
            return
        self._guard.check()
        self._saver.save()
        try:
            self._on_checkpoint()
        except Preempted:
            self._saver.finish()
            raise
        self._evaluated_step = self._session.step

    def _is_done(self) -> bool:
        if self._config.HasField("num_steps"):
            return self._session.step >= self._config.num_steps
        return self._session.epoch >= self._config.num_epochs

    def _answer(self, requests: Requests) -> None:
        """Do what was asked for, on all ranks alike, before the next step."""
        if requests.failed:
            self._saver.finish()
            raise StorageError("a checkpoint could not be saved on another rank, whose own error says why")
        if requests.save:
            self._saver.save()
        if requests.stop:
            self._preempt()

    def _preempt(self) -> None:
        self._guard.check()
        path = self._saver.save(wait=True)
        raise Preempted(f"stopped by SIGTERM at step {self._session.step}; saved {path}; go on with --continue_train")

    def _tell_bad_values(self) -> None:
        """Log how many bad values this process has met, when there are more than before."""
        counts = self._loader.bad_values
        if counts.total() > self._bad_values_told and self._session.process.is_chief:
            self._bad_values_told = counts.total()
            whose = " by this process" if self._session.process.world_size > 1 else ""
            logger.warning("bad values taken as missing so far%s: %s", whose, told(counts))
