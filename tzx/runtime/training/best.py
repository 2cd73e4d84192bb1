"""The checkpoint that evaluated best, which export takes and pruning spares."""

import difflib
import json
import logging
import math
from pathlib import Path

from tzx.runtime.errors import UserError
from tzx.runtime.protos.export_pb2 import ExportConfig
from tzx.runtime.training.checkpoint import committed_checkpoints, step_of

logger = logging.getLogger("tzx")

RESULTS = "train_eval_result_v2.txt"  # in the model directory; one JSON line for each evaluation


def best_checkpoint(model_dir: Path, config: ExportConfig) -> Path:
    """The present checkpoint with the best `best_exporter_metric`.

    Raises:
        UserError: none was evaluated.
    """
    values, present = _ranked(model_dir, config)
    best, taken = list(values)[-1], step_of(present[-1])
    if taken != best:
        logger.warning("step %d was best but its checkpoint is gone; taking step %d", best, taken)
    logger.info("best checkpoint: step %d, %s %.6f", taken, config.best_exporter_metric, values[taken])
    return present[-1]


def spared(model_dir: Path, config: ExportConfig) -> list[Path]:
    """The checkpoints that pruning must leave for a later export: the best one, where export wants that."""
    if config.exporter_type != "best" or not (model_dir / RESULTS).is_file():
        return []
    try:
        return _ranked(model_dir, config)[1][-1:]
    except UserError:  # the first evaluations may still be to come
        return []


def _ranked(model_dir: Path, config: ExportConfig) -> tuple[dict[int, float], list[Path]]:
    """Values by step and the checkpoints that are there, the best last."""
    sign = 1 if config.metric_larger_is_better else -1
    values = _evaluations(model_dir / RESULTS, config.best_exporter_metric)
    values = dict(sorted(values.items(), key=lambda item: sign * item[1]))
    paths = {step_of(path): path for path in committed_checkpoints(model_dir)}
    present = [paths[step] for step in values if step in paths]
    if not present:
        raise UserError(f"{model_dir}: none of its checkpoints was evaluated; set exporter_type to 'latest'")
    return values, present


def _evaluations(results: Path, metric: str) -> dict[int, float]:
    if not results.is_file():
        raise UserError(f"{results} is missing, so no checkpoint can be called best; set exporter_type to 'latest'")
    lines = _lines(results)
    values = {int(line["global_step"]): float(line[metric]) for line in lines if metric in line}
    if not values:
        known = sorted({name for line in lines for name in line} - {"global_step"})
        near = difflib.get_close_matches(metric, known, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise UserError(f"best_exporter_metric {metric!r} is not in {results} (it has {', '.join(known)}){hint}")
    return {step: value for step, value in values.items() if not math.isnan(value)}


def _lines(results: Path) -> list[dict[str, float]]:
    found = []
    for number, line in enumerate(results.read_text().splitlines(), 1):
        try:
            found.append(json.loads(line or "{}"))
        except ValueError:  # a run was killed while it wrote
            logger.warning("%s:%d is no JSON; it is left out", results, number)
    return found
