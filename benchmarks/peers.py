"""The same model on the same rows in tzx and other libraries, training by turns of some steps in one run.

python benchmarks/peers.py install                 an environment for each library, in ../peers
python benchmarks/peers.py run deepfm dlrm         cases by name, three seeds; all when none is named
python benchmarks/peers.py table                   what was collected, as a table

Every library reads the same ids and has the same optimizers, learning rates, widths and starts of weights; the cases
are in peer_cases.py, what differs is in docs/performance.md. Each result is a line of the results file, and what is
there is not run again. Quotients of speeds are medians over pairs of windows that followed each other. "Step only" is
training on batches that lie ready in memory, and is compared with tzx's on such batches.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alike import export_rows
from google.protobuf import text_format
from machine import facts
from peer_cases import CASES, Case
from peer_table import table

from tzx.apps.openmp import set_wait_policy
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
# Environment, script and flags; where there is no environment, tzx's own interpreter has the library.
SCRIPTS = {
    "fuxictr": ("fuxictr", "fuxictr_peer.py", "--own_loader"),
    "deepctr-torch": ("deepctr-torch", "deepctr_peer.py"),
    "recbole": ("recbole", "recbole_peer.py"),
    "torchrec, step only": ("", "torchrec_peer.py"),
    "fuxictr, step only": ("fuxictr", "fuxictr_peer.py"),
}
# deepctr-torch imports requests and does not ask for it; recbole and its ray use what newer versions dropped.
PACKAGES = {
    "fuxictr": ("fuxictr==2.3.10",),
    "deepctr-torch": ("deepctr-torch==0.3.0", "requests"),
    "recbole": ("recbole==1.2.1", "numpy<2", "pandas<3", "setuptools<81"),
}
OWN = ("tzx", "tzx, step only")
Figures = dict[str, Any]


class Racer:
    """A training that takes turns; it runs until it reports its first window, and then whenever `go` is called."""

    def __init__(self, command: Sequence[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log.open("w")}
        self.process = subprocess.Popen(command, env=env, text=True, **pipes)
        self.first_step = float("nan")
        self.windows: list[Figures] = []
        self.figures: Figures = {}
        self.running = self._listen()

    def go(self) -> None:
        """Train one more window, or to the end."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.running = self._listen()

    def _listen(self) -> bool:
        """Read reports up to the next window; False when the process has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            report = _report(line)
            if "seconds" in report:
                self.windows.append(report)
                return True
            self.first_step = report.get("first_step", self.first_step)
            self.figures |= report
        if self.process.wait():
            sys.exit(f"{' '.join(self.process.args)}\n{self._log.read_text()}")  # type: ignore[arg-type]
        return False

    def result(self) -> Figures:
        """What it showed, for the results file."""
        return {
            "seconds": [window["seconds"] for window in self.windows],
            "cpu": [window["cpu"] for window in self.windows],
            "peak_mib": self.windows[-1]["peak_mib"],
            "first_step": self.first_step,
            "auc": self.figures["auc"],
            "log_loss": self.figures["log_loss"],
        }


def _report(line: str) -> Figures:
    """A line of the protocol, {} for what a library prints."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def race(commands: dict[str, list[str]], envs: dict[str, dict[str, str]], folder: Path) -> dict[str, Racer]:
    """Start one after the other, then let them train in turn until all have ended."""
    racers: dict[str, Racer] = {}
    try:
        for name, command in commands.items():
            racers[name] = Racer(command, envs[name], folder / f"{name}.log")
        while running := [racer for racer in racers.values() if racer.running]:
            for racer in running:
                racer.go()
    finally:
        for racer in racers.values():
            racer.process.kill()
    return racers


def run_case(name: str, seed: int, args: argparse.Namespace) -> Figures:
    """One race: all libraries that have the model, with one seed."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="tzx-peers-") as scratch:
        folder = Path(scratch)
        config = case.config(args.rows)
        window = args.window or case.window
        config.train_config.log_step_count_steps = window
        commands = _own_commands(config, seed, folder) | _commands(case, config, seed, args.venvs, folder)
        machine = facts(args.threads)
        racers = race(commands, _envs(commands, args.threads), folder)
        for library in OWN:
            lines = (folder / library / "train_eval_result_v2.txt").read_text().splitlines()
            metrics = json.loads(lines[-1])
            racers[library].figures |= {"auc": metrics["auc"], "log_loss": metrics["binary_cross_entropy"]}
    return {
        "case": name,
        "seed": seed,
        "batch": config.data_config.batch_size,
        "window": window,
        "rows": args.rows,
        "results": {library: racer.result() for library, racer in racers.items()},
        "machine": machine,
    }


def _envs(commands: dict[str, list[str]], threads: int) -> dict[str, dict[str, str]]:
    """tzx chooses its threads itself; the others take what they are given, and wait for them as tzx's do.

    Threads that spin, as theirs do else, take the machine from each other whenever anything else runs on it.
    """
    plain = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    given = plain | {"OMP_NUM_THREADS": str(threads)}
    set_wait_policy(given)
    return {library: plain if library in OWN else given for library in commands}


def _own_commands(config: EasyRecConfig, seed: int, folder: Path) -> dict[str, list[str]]:
    file = folder / "job.config"
    file.write_text(text_format.MessageToString(config))
    command = [sys.executable, str(HERE / "tzx_turns.py")]
    ready = {"tzx": [], "tzx, step only": ["--ready", str(config.train_config.num_epochs)]}
    flags = ["--config", str(file), "--seed", str(seed), "--model_dir"]
    return {library: [*command, *ready[library], *flags, str(folder / library)] for library in OWN}


def _commands(case: Case, config: EasyRecConfig, seed: int, venvs: Path, folder: Path) -> dict[str, list[str]]:
    settings = config.train_config
    flags = {
        "--data": export_rows(config, folder / "rows.npz"),
        "--model": case.model,
        "--seed": seed,
        "--batch": config.data_config.batch_size,
        "--epochs": settings.num_epochs,
        "--table_lr": settings.sparse_optimizer.adagrad_optimizer.lr,
        "--dense_lr": settings.dense_optimizer.adam_optimizer.lr,
        "--window": settings.log_step_count_steps,
        "--cross_rank": case.cross_rank,
    }
    words = [str(word) for pair in flags.items() for word in pair]
    commands = {}
    for library in case.libraries:
        environment, script, *more = SCRIPTS[library]
        python = str(venvs / environment / "bin" / "python") if environment else sys.executable
        commands[library] = [python, str(HERE / script), *words, "--turns", *more]
    return commands


def install(venvs: Path) -> None:
    """An environment for each library, with the torch that tzx has here."""
    torch = importlib.metadata.version("torch").partition("+")[0]
    for library, packages in PACKAGES.items():
        subprocess.run([sys.executable, "-m", "venv", str(venvs / library)], check=True)
        python = str(venvs / library / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", f"torch=={torch}", *packages], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("install", "run", "table"))
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each case, with seeds 1, 2, ...")
    parser.add_argument("--rows", type=int, default=500_000, help="generated rows; MovieLens has its own")
    parser.add_argument("--window", type=int, help="steps of a turn, in place of the case's own")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the other libraries")
    parser.add_argument("--venvs", type=Path, default=ROOT.parent / "peers", help="where the environments lie")
    parser.add_argument("--results", type=Path, default=HERE / "peers.jsonl")
    args = parser.parse_intermixed_args()
    args.venvs, args.results = args.venvs.resolve(), args.results.resolve()
    if unknown := sorted(set(args.cases) - set(CASES)):
        parser.error(f"no case named {', '.join(unknown)}; there are {', '.join(CASES)}")
    os.chdir(ROOT)
    rows = [json.loads(line) for line in args.results.read_text().splitlines()] if args.results.exists() else []
    if args.what == "install":
        install(args.venvs)
    elif args.what == "table":
        print(table(rows))
    else:
        done = {(row["case"], row["seed"]) for row in rows}
        todo = [(name, seed) for name in args.cases or CASES for seed in range(1, args.seeds + 1)]
        for name, seed in (each for each in todo if each not in done):
            row = run_case(name, seed, args)
            with args.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(table([row]), flush=True)


if __name__ == "__main__":
    main()
