"""What trainings in other libraries share: rows that tzx wrote, optimizers, settings, and the figures at the end.

Runs in an interpreter that has torch and scikit-learn, and not tzx.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn
from turns import Turns

HIDDEN = [256, 128]
DENSE = "dense"
Specs = dict[str, dict]
Arrays = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """What tzx trains with as well."""

    data: str
    model: str
    seed: int
    batch: int
    epochs: int
    table_lr: float
    dense_lr: float
    init_std: float
    window: int
    turns: bool
    own_loader: bool
    cross_rank: int


def read_settings(library: str, models: list[str], about: str | None) -> Settings | None:
    """The command line; None when it only asked for the models there are."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the models there are")
    parser.add_argument("--data")
    parser.add_argument("--model", choices=sorted(models))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--table_lr", type=float, default=0.05)
    parser.add_argument("--dense_lr", type=float, default=0.001)
    parser.add_argument("--init_std", type=float, default=1e-4, help="that embeddings start with")
    parser.add_argument("--window", type=int, default=10, help="steps whose time is taken together")
    parser.add_argument("--turns", action="store_true", help="wait for a line on standard input after each window")
    parser.add_argument("--own_loader", action="store_true", help="read by the library's loader if there is a choice")
    parser.add_argument(
        "--cross_rank", type=int, default=0, help="of the cross of DCNV2 where there is a choice; 0: full"
    )
    args = vars(parser.parse_args())
    if args.pop("list"):
        print(json.dumps({"models": sorted(models), library: version(library), "torch": version("torch")}))
        return None
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return Settings(**args)


def load(path: str) -> tuple[Specs, dict[str, Arrays]]:
    """Specs of the features, and the tensors of both parts; a bag that never has two ids is a plain id."""
    content = np.load(path)
    specs = json.loads(str(content["specs"]))
    parts: dict[str, Arrays] = {"train": {}, "test": {}}
    dense = (DENSE,) if f"train/{DENSE}" in content else ()
    for name in (*specs, *dense, "label"):
        pair = [torch.from_numpy(content[f"{part}/{name}"]) for part in parts]
        single = name in specs and pair[0].dim() == 2 and max(p.shape[1] for p in pair) == 1
        for part, array in zip(parts, pair, strict=True):
            parts[part][name] = array[:, 0] if single else array
    return specs, parts


class TwoOptimizers:
    """Adagrad for embedding tables, Adam for the rest, as one optimizer."""

    def __init__(self, model: nn.Module, settings: Settings, after_step: Callable[[], None]) -> None:
        tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        every = list(model.parameters())
        self._after_step = after_step
        self.parts = [
            torch.optim.Adagrad([p for p in every if id(p) in tables], lr=settings.table_lr),
            torch.optim.Adam([p for p in every if id(p) not in tables and p.requires_grad], lr=settings.dense_lr),
        ]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()
        self._after_step()


def print_figures(model: nn.Module, turns: Turns, settings: Settings, labels: Tensor, scores: np.ndarray) -> None:
    """AUC and log loss on the test part, and samples/s, the median over all windows but the first."""
    scores = np.asarray(scores).reshape(-1)
    figures = {
        "auc": roc_auc_score(labels.numpy(), scores),
        "log_loss": log_loss(labels.numpy(), scores),
        "samples_per_second": settings.window * settings.batch / float(np.median(turns.seconds[1:])),
        "cpu_seconds": turns.cpu,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    print(json.dumps(figures), flush=True)
