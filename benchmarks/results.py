"""Results of the ranking models on MovieLens-100K beside FuxiCTR's, collected in a table, and docs/results.md.

python -m tzx.apps.prepare_data movielens
python benchmarks/results.py train                              every model, five seeds
python benchmarks/results.py train DeepFM --seeds 1             one model, one seed
python benchmarks/results.py peer --python fuxi/bin/python      the same with FuxiCTR, installed in a venv of its own
python benchmarks/results.py speed                              samples/s again, on a quiet machine
python benchmarks/results.py write                              docs/results.md from what was collected

What is in benchmarks/results.csv is not trained again, so an interrupted run goes on where it stopped, and a new model
costs its own rows. For the peer, and for those of its models that are not in the package:
python -m venv fuxi && fuxi/bin/pip install fuxictr==2.3.10 torch
git clone https://github.com/reczoo/FuxiCTR                     then also --checkout FuxiCTR
"""

import argparse
import hashlib
import json
import logging
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alike import alike, export_rows
from google.protobuf import text_format
from machine import facts
from result_models import ENTRIES, Entry
from result_page import page
from result_rows import append, read

from tzx.runtime.config import load_config
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.model_pb2 import ModelConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks" / "fuxictr_peer.py"
_WINDOW = re.compile(r"step \d+ .* ([\d,]+) samples/s")
WINDOW_STEPS = 10


def config_of(entry: Entry) -> EasyRecConfig:
    """The base config of an entry with the entry's model, evaluated on the test part."""
    config = load_config(str(ROOT / "examples" / f"{entry.base}.config"))
    config.model_config.CopyFrom(text_format.Parse(entry.model_config(), ModelConfig()))
    config.eval_input_path = config.eval_input_path.replace("valid.", "test.")
    alike(config, entry.init_std)
    config.train_config.log_step_count_steps = WINDOW_STEPS
    config.data_config.num_workers = 0
    return config


def fingerprint(config: EasyRecConfig) -> str:
    """Changes with any setting, so that a row is only reused for the config it was measured with."""
    return hashlib.sha256(config.SerializeToString(deterministic=True)).hexdigest()[:12]


class _Speeds(logging.Handler):
    """Collects samples/s from the lines that training logs."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if found := _WINDOW.search(record.getMessage()):
            self.windows.append(float(found.group(1).replace(",", "")))


def train_tzx(config: EasyRecConfig, seed: int) -> dict[str, object]:
    """Train once in this process and return the figures."""
    from tzx.runtime.training.jobs import TrainOptions, train

    speeds, parameters = _Speeds(), _count_parameters(config)
    logger = logging.getLogger("tzx")
    logger.setLevel(logging.INFO)
    logger.addHandler(speeds)
    cpu_before = _cpu_seconds()
    try:
        with tempfile.TemporaryDirectory(prefix="tzx-results-") as scratch:
            config.model_dir = scratch
            train(config, TrainOptions(seed=seed))
            metrics = json.loads((Path(scratch) / "train_eval_result_v2.txt").read_text().splitlines()[-1])
    finally:
        logger.removeHandler(speeds)
    return {
        "auc": _named(metrics, "auc"),
        "log_loss": _named(metrics, "binary_cross_entropy"),
        "samples_per_second": statistics.median(speeds.windows[1:]),
        "cpu_seconds": _cpu_seconds() - cpu_before,
        "parameters": parameters,
    }


def _named(metrics: dict[str, float], name: str) -> float:
    """A metric, under its own name or with the suffix of a model's only output."""
    return next(value for found, value in metrics.items() if found.startswith(name))


def _count_parameters(config: EasyRecConfig) -> int:
    from tzx.runtime.embedding.tables import table_device
    from tzx.runtime.features import FeatureSet
    from tzx.runtime.models import build_model

    with table_device("meta"):
        model = build_model(config, FeatureSet.from_config(config.feature_configs, config.data_config))
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _config(args: argparse.Namespace, name: str) -> EasyRecConfig:
    """What to train; one epoch tells the speed."""
    config = config_of(ENTRIES[name])
    if args.kind == "speed":
        config.train_config.num_epochs = 1
    return config


def _todo(args: argparse.Namespace, suite: str) -> Iterator[tuple[str, int, str]]:
    rows = read(args.results)
    done = {(r["suite"], r["model"], r["seed"], r["config"]) for r in rows if r["kind"] == args.kind}
    for name in args.models or ENTRIES:
        mark = fingerprint(_config(args, name))
        for seed in range(1, args.seeds + 1):
            if (suite, name, seed, mark) not in done:
                yield name, seed, mark


def run_tzx(args: argparse.Namespace) -> None:
    """Train what is missing, one row each."""
    for name, seed, mark in _todo(args, "tzx"):
        before = facts(args.threads)
        try:
            figures = train_tzx(_config(args, name), seed)
        except ConfigError as error:
            sys.exit(f"{name}: {error}")
        row = {"suite": "tzx", "kind": args.kind, "model": name, "seed": seed, "config": mark}
        append(args.results, row | figures | before)
        print(f"tzx      {name:<18} seed {seed}  {_shown(figures)}", flush=True)


def run_peer(args: argparse.Namespace) -> None:
    """The same with FuxiCTR, in its own interpreter, which trains one model a call."""
    peer = [args.python, str(PEER)]
    environment = {**os.environ, "FUXICTR_CHECKOUT": str(args.checkout)}
    listing = subprocess.run([*peer, "--list"], check=True, capture_output=True, text=True, env=environment)
    known = json.loads(listing.stdout)
    with tempfile.TemporaryDirectory(prefix="tzx-results-") as scratch:
        data: dict[str, Path] = {}
        for name, seed, mark in _todo(args, "fuxictr"):
            if name not in known["models"]:
                continue
            base = ENTRIES[name].base
            if base not in data:
                widest = next(e for e in ENTRIES.values() if e.base == base)
                data[base] = export_rows(config_of(widest), Path(scratch) / f"{base}.npz")
            before = facts(args.threads) | {"fuxictr": known["fuxictr"], "torch": known["torch"]}
            epochs, init_std = _config(args, name).train_config.num_epochs, ENTRIES[name].init_std
            command = [*peer, "--data", str(data[base]), "--model", name, "--seed", str(seed)]
            command += ["--epochs", str(epochs), "--init_std", str(init_std)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(f"{' '.join(command)}\n{done.stderr}")
            figures = json.loads(done.stdout.splitlines()[-1])
            row = {"suite": "fuxictr", "kind": args.kind, "model": name, "seed": seed, "config": mark}
            append(args.results, row | figures | before)
            print(f"fuxictr  {name:<18} seed {seed}  {_shown(figures)}", flush=True)


def _shown(figures: dict) -> str:
    return (
        f"AUC {figures['auc']:.4f}  log loss {figures['log_loss']:.4f}  {figures['samples_per_second']:,.0f} samples/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "peer", "speed", "write"))
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(ENTRIES)}")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each model, with seeds 1, 2, ...")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python", default="", help="interpreter that has fuxictr")
    parser.add_argument("--checkout", default="", help="FuxiCTR's repository, for its models not in the package")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results.csv")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md", help="where to write the document")
    args = parser.parse_args()
    args.results, args.out = args.results.resolve(), args.out.resolve()
    if unknown := sorted(set(args.models) - set(ENTRIES)):
        parser.error(f"no model named {', '.join(unknown)}; there are {', '.join(ENTRIES)}")
    args.kind = "auc"
    args.checkout = Path(args.checkout).resolve() if args.checkout else ""
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # of both sides; without it tzx chooses for itself
    os.chdir(ROOT)
    if args.what == "write":
        args.out.write_text(page(read(args.results), list(ENTRIES)))
    elif args.what == "peer":
        run_peer(args)
    elif args.what == "speed":
        args.kind, args.seeds = "speed", 1
        run_tzx(args)
        if args.python:
            run_peer(args)
    else:
        run_tzx(args)


if __name__ == "__main__":
    main()
