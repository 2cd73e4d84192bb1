"""Evaluation: metrics over a data set, equal whatever the number of ranks, and the files that keep them."""

import json
import logging
from collections import Counter

import torch

from tzx.runtime.data.loader import DataLoader
from tzx.runtime.errors import Preempted
from tzx.runtime.features.tolerance import told
from tzx.runtime.protos.data_pb2 import BAD_VALUE_DEFAULT
from tzx.runtime.training.batches import LockstepBatches, make_filler
from tzx.runtime.training.best import RESULTS
from tzx.runtime.training.precision import autocast
from tzx.runtime.training.progress import Progress
from tzx.runtime.training.session import Session
from tzx.runtime.training.storage import append_line

logger = logging.getLogger("tzx")


@torch.no_grad()
def evaluate(session: Session, loader: DataLoader) -> dict[str, float]:
    """Metrics of the session's model over `loader`, limited to `eval_config.num_steps` if set.

    Raises:
        Preempted: SIGTERM came meanwhile.
    """
    config, process, model = session.config.eval_config, session.process, session.model
    training = session.sharded.training
    session.sharded.eval()
    model.reset_metrics()
    filler = make_filler(session.features, loader, session.config.data_config)
    epoch = loader.epoch(give_up=lambda: session.requests.stop)
    batches = LockstepBatches(epoch, filler, process, session.requests)
    progress = Progress("evaluate", process.world_size, process.is_chief)
    for number, (batch, requests) in enumerate(batches, 1):
        if requests.stop:  # only training listens to signals, and it saves before it evaluates
            raise Preempted(f"stopped by SIGTERM while evaluating {session.saved}; go on with --continue_train")
        with autocast(session.config.train_config.mixed_precision, process.device):
            if session.id_maps is not None:
                batch = session.id_maps.look_up(batch)
            batch = batch.to(process.device, non_blocking=True)
            losses, predictions = session.sharded(batch)
        if not batch.is_filler:
            model.update_metrics(predictions, batch, losses)
            progress.add(batch.size)
        if number % max(config.log_step_count_steps, 1) == 0 and progress.is_due():
            progress.line(f"batch {number}", {}, loader.wait_seconds)
        if config.HasField("num_steps") and number >= config.num_steps:
            break
    session.sharded.train(training)
    progress.done("evaluated", "rows")
    return {name: float(value) for name, value in sorted(model.compute_metrics().items())}


def bad_values(session: Session, **counts: Counter[str]) -> dict[str, dict[str, int]]:
    """Bad values by data set and feature, over all processes, each of which has to ask."""
    if session.config.data_config.bad_value_policy != BAD_VALUE_DEFAULT:
        return {}
    summed = {name: session.process.summed(count) for name, count in counts.items()}
    return {name: count for name, count in summed.items() if count}


def record(session: Session, metrics: dict[str, float], bad: dict[str, dict[str, int]], name: str = RESULTS) -> None:
    """Log metrics and append them to a results file of the model directory (rank 0)."""
    if not session.process.is_chief:
        return
    for data, counts in bad.items():
        logger.warning("bad values of %s data taken as missing so far: %s", data, told(counts))
    shown = "  ".join(f"{name} {value:.6f}" for name, value in metrics.items())
    logger.info("eval  step %d  %s", session.step, shown)
    content = {"global_step": session.step, **metrics, **({"bad_values": bad} if bad else {})}
    append_line(session.model_dir / name, json.dumps(content))
