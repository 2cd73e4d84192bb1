"""Checkpoints: bytes, time to save, verify and restore, and the time that a save beside the training takes from it.

python benchmarks/checkpoint.py                         8 tables of 500,000 rows, width 16, Adagrad: 0.5 GB

Windows of steps without a save and with one under way take turns in one process, so that what else the machine does
falls on both; the difference of their medians, with the copy that a save begins with, is the time stolen by one save.
Where no core is free to save beside the training, it takes the save's processor time, which a busy machine shows too.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from machine import facts, show

from tzx.runtime.config import parse_text
from tzx.runtime.data.batch import Batch
from tzx.runtime.training import checkpoint as ckpt
from tzx.runtime.training import state
from tzx.runtime.training.manifest import find_damage, read_marker
from tzx.runtime.training.process import Process
from tzx.runtime.training.saving import Saver
from tzx.runtime.training.session import Session, build_session
from tzx.runtime.training.settings import RunSettings

CADENCE = 1000  # steps between saves, the default of save_checkpoints_steps
CONFIG = """
train_input_path: "{root}/rows.parquet" eval_input_path: "" model_dir: "{root}/run"
train_config {{
  sparse_optimizer {{ adagrad_optimizer {{ lr: 0.01 }} constant_learning_rate {{}} }}
  dense_optimizer {{ adam_optimizer {{ lr: 0.001 }} constant_learning_rate {{}} }}
  num_steps: 1 save_checkpoints_async: true
}}
data_config {{ dataset_type: ParquetDataset batch_size: {batch} fg_mode: FG_DAG label_fields: "label" num_workers: 0 }}
{features}
model_config {{
  feature_groups {{ group_name: "deep" {names} group_type: DEEP }}
  multi_tower {{
    towers {{ input: "deep" mlp {{ hidden_units: [256, 128] }} }}
    final {{ hidden_units: [64] }}
  }}
  losses {{ binary_cross_entropy {{}} }} metrics {{ auc {{}} }}
}}
"""
FEATURE = """
feature_configs {{
  id_feature {{ feature_name: "c{i}" expression: "user:c{i}" num_buckets: {rows} embedding_dim: {dim} }}
}}
"""


def config_text(root: Path, args: argparse.Namespace) -> str:
    """A model of `--tables` tables."""
    features = "".join(FEATURE.format(i=i, rows=args.table_rows, dim=args.dim) for i in range(args.tables))
    names = " ".join(f'feature_names: "c{i}"' for i in range(args.tables))
    return CONFIG.format(root=root, batch=args.batch_size, features=features, names=names)


def write_rows(root: Path, args: argparse.Namespace) -> None:
    """A few batches of random ids."""
    rng, rows = np.random.default_rng(1), 4 * args.batch_size
    columns = {f"c{i}": rng.integers(0, args.table_rows, rows) for i in range(args.tables)}
    pq.write_table(pa.table({**columns, "label": rng.integers(0, 2, rows)}), root / "rows.parquet")


@contextmanager
def session_of(root: Path, args: argparse.Namespace) -> Iterator[Session]:
    """A session ready to train."""
    process = Process()
    process.join_group()
    try:
        yield build_session(parse_text(config_text(root, args), "benchmark"), process, RunSettings(), training=True)
    finally:
        process.leave_group()


def step(session: Session, batch: Batch) -> None:
    """One training step."""
    assert session.table_optimizer is not None
    session.table_optimizer.optimizer.zero_grad()
    losses, _ = session.sharded(batch)
    torch.stack(list(losses.values())).sum().backward()
    for scheduled in session.dense_optimizers:
        scheduled.optimizer.step()
        scheduled.optimizer.zero_grad()
    session.step += 1


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def stolen(session: Session, batches: list[Batch], args: argparse.Namespace) -> dict[str, object]:
    """What a save beside the training costs it."""
    saver = Saver(session)

    def window() -> None:
        for i in range(args.window):
            step(session, batches[i % len(batches)])

    window()
    saver.save()  # gets the memory for copies
    saver.finish()
    plain, beside, calls, whole, alone, cpu = [], [], [], [], [], []
    for _ in range(args.rounds):
        used = time.process_time()
        plain.append(seconds(window))
        alone.append(time.process_time() - used)
        began, used = time.perf_counter(), time.process_time()
        calls.append(seconds(saver.save))
        beside.append(seconds(window))
        saver.finish()
        whole.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used - alone[-1])
    per_step = statistics.median(plain) / args.window
    lost = statistics.median(calls) + max(0.0, statistics.median(beside) - statistics.median(plain))
    busy = statistics.median(cpu) / (CADENCE * statistics.median(alone) / args.window)
    return {
        "step, ms": round(1000 * per_step, 2),
        "copy, training waits, s": round(statistics.median(calls), 3),
        "save beside, to its end, s": round(statistics.median(whole), 3),
        "stolen by one save, s": round(lost, 3),
        f"stolen, a save each {CADENCE} steps, %": round(100 * lost / (lost + CADENCE * per_step), 2),
        "processor time of a step, ms": round(1000 * statistics.median(alone) / args.window, 2),
        "processor time of a save, s": round(statistics.median(cpu), 3),
        f"of that of {CADENCE} steps, %": round(100 * busy, 2),
        "steps between saves for 5 %": round(lost / 0.05 / per_step),
    }


def save_and_restore(session: Session) -> dict[str, object]:
    """Times and bytes of a save that training waits for, and of going on from it."""
    snapshot = state.snapshot(session)
    save = seconds(lambda: ckpt.commit(snapshot))
    size = sum(entry.size for entry in read_marker(snapshot.path).values())
    verify = seconds(lambda: find_damage(snapshot.path))

    def restore() -> None:
        state.restore(session, snapshot.path)
        state.load_optimizers(session, snapshot.path)

    return {
        "bytes": f"{size:,}",
        "save, s": round(save, 3),
        "save, MB/s": round(size / save / 1e6),
        "verify, s": round(verify, 3),
        "verify, MB/s": round(size / verify / 1e6),
        "restore, s": round(seconds(restore), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=8)
    parser.add_argument("--table_rows", type=int, default=500_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--batch_size", type=int, default=2048)
    parser.add_argument("--window", type=int, default=100, help="steps per window; a save should end within one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="append the result to this file as one line")
    args = parser.parse_args()
    torch.set_num_threads(1)
    before = facts(1)
    with tempfile.TemporaryDirectory(prefix="tzx-benchmark-") as folder:
        root = Path(folder)
        write_rows(root, args)
        with session_of(root, args) as session:
            batches = list(session.loader(session.config.train_input_path, "train").epoch())
            values = stolen(session, batches, args) | save_and_restore(session)
    show("machine", before)
    show(f"{args.tables} tables of {args.table_rows:,} rows, width {args.dim}, Adagrad", values)
    if args.json:
        with args.json.open("a") as file:
            file.write(json.dumps({**before, "result": values}) + "\n")


if __name__ == "__main__":
    main()
