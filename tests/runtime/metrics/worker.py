"""One process of a distributed evaluation: python worker.py RANK WORLD STORE_FILE, prints the metrics as JSON."""

import json
import sys

import numpy as np
import torch
import torch.distributed as dist

from tzx.runtime.data.batch import Batch, BatchLayout, Jagged
from tzx.runtime.metrics import Decayed, MeanOf
from tzx.runtime.metrics.auc import AUC
from tzx.runtime.metrics.calibration import Calibration, ExpectedCalibrationError
from tzx.runtime.metrics.entropy import LogLoss, NormalizedEntropy
from tzx.runtime.metrics.grouped_auc import GroupedAUC
from tzx.runtime.metrics.multiclass_auc import MulticlassAUC
from tzx.runtime.metrics.pointwise import BinaryAccuracy, MeanAbsoluteError, MeanSquaredError
from tzx.runtime.metrics.recall import GroupedRecallAtK, Precision, Recall, RecallAtK
from tzx.runtime.metrics.xauc import XAUC, BatchXAUC, GroupedXAUC


def batches():
    """Eleven batches of uneven size, the same in every process."""
    rng = np.random.default_rng(3)
    for size in [64, 1, 17, 128, 5, 64, 33, 2, 90, 64, 7]:
        probs = rng.beta(1, 4, size).astype(np.float32)
        yield probs, (rng.random(size) < probs).astype(np.int64), rng.integers(-2, 12, size)


def run(rank, world):
    """Feed batch i to process i mod (world + 1), so that the last process gets less, and the spare share to rank 0."""
    metrics = {
        "auc": AUC(200, "probs"),
        "grouped_auc": GroupedAUC("user", "probs"),
        "accuracy": BinaryAccuracy(0.3),
        "mae": MeanAbsoluteError(),
        "mse": MeanSquaredError(),
        "normalized_entropy": NormalizedEntropy(1e-12, "probs"),
        "log_loss": LogLoss(1e-12, "probs"),
        "calibration": Calibration("probs"),
        "expected_calibration_error": ExpectedCalibrationError(15, "probs"),
        "threshold_recall": Recall(0.2, "probs"),
        "precision": Precision(0.2, "probs"),
        "grouped_recall": GroupedRecallAtK("user", "probs", 2),
        "xauc": XAUC("y"),
        "batch_xauc": BatchXAUC("y"),
        "grouped_xauc": GroupedXAUC("user", "y"),
    }
    by_class = {
        "multiclass_auc": MulticlassAUC(200, 3, "weighted"),
        "recall": RecallAtK(2),
        "class_log_loss": LogLoss(1e-12, "probs"),
    }
    decayed, mean = Decayed(AUC(200, "probs"), 0.5, 1), MeanOf()
    empty = Jagged(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32))
    for number, (probs, labels, users) in enumerate(batches()):
        if world > 1 and (rank == 1) != (number % 3 == 1):
            continue
        batch = Batch(
            size=len(users),
            layout=BatchLayout(ids=("user",)),
            dense=torch.empty(len(users), 0),
            ids=Jagged(torch.tensor(users), torch.ones(len(users), dtype=torch.int32)),
            weighted_ids=empty,
            sequence_ids=empty,
        )
        predictions = {"probs": torch.tensor(probs), "y": torch.tensor(probs)}
        for metric in metrics.values():
            metric.update(predictions, torch.tensor(labels), batch)
        for metric in by_class.values():
            scores = torch.softmax(torch.tensor(np.stack([probs, users / 9, 0 * probs], 1)).float(), dim=1)
            metric.update({"probs": scores, "similarity": scores}, torch.tensor(users % 3), batch)
        mean.add_mean(torch.tensor(probs.mean()), len(probs))
        decayed.update(predictions, torch.tensor(labels), batch)
    metrics |= by_class
    found = {name: float(metric.compute()) for name, metric in metrics.items()}
    idle = {"idle_auc": AUC(200, "probs"), "idle_grouped": GroupedAUC("user", "probs"), "idle_xauc": XAUC("y")}
    nothing = {name: str(float(metric.compute())) for name, metric in idle.items()}
    again = {f"{name}_again": float(metric.compute()) for name, metric in metrics.items()}
    return {**found, **nothing, **again, "mean": float(mean.compute()), "decayed": float(decayed.compute())}


if __name__ == "__main__":
    rank, world, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    print(json.dumps(run(rank, world)))
    dist.destroy_process_group()
