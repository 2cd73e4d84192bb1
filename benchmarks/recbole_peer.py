"""Trains RecBole's models on rows that tzx wrote; runs in an interpreter that has recbole and not tzx.

Models, loader and the training loop of an epoch are the library's own. Set here: starts of weights as in the other
libraries, sums of bags where RecBole takes means, and for DCNV2 an MLP without batch norm and no L2 term.
"""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_training import HIDDEN, Arrays, Settings, Specs, TwoOptimizers, load, print_figures, read_settings
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import ContextRecommender
from recbole.model.layers import MLPLayers
from recbole.utils import get_model, get_trainer, init_seed
from torch import nn
from turns import Turns

NAME = "rows"
MODELS = ["DCNV2", "DeepFM"]
SETTINGS = {
    "benchmark_filename": ["train", "test", "test"],  # the second is for validation, which is not asked for
    "load_col": None,
    "train_neg_sample_args": None,
    "eval_args": {"split": {"RS": [8, 1, 1]}, "group_by": None, "order": "RO", "mode": "labeled"},
    "metrics": ["AUC"],
    "valid_metric": "AUC",
    "use_gpu": False,
    "show_progress": False,
    "mlp_hidden_size": HIDDEN,
    "dropout_prob": 0.0,
    "mixed": False,
    "structure": "parallel",
    "cross_layer_num": 3,
    "reg_weight": 0.0,
}


def write_rows(specs: Specs, parts: dict[str, Arrays], folder: Path) -> None:
    """Both parts as RecBole's atomic files; ids are words there, and 0 is none."""
    (folder / NAME).mkdir()
    for part, arrays in parts.items():
        columns = {f"{name}:token{'_seq' * (arrays[name].dim() > 1)}": arrays[name].tolist() for name in specs}
        columns["label:float"] = arrays["label"].tolist()
        words = [[_word(value) for value in column] for column in columns.values()]
        lines = ["\t".join(columns), *("\t".join(row) for row in zip(*words, strict=True))]
        (folder / NAME / f"{NAME}.{part}.inter").write_text("\n".join(lines) + "\n")


def _word(value: float | list[int]) -> str:
    return " ".join(str(each) for each in value if each) if isinstance(value, list) else str(value)


def start(model: ContextRecommender, settings: Settings) -> None:
    """Starts of weights and what else is set."""
    for table in (module for module in model.modules() if isinstance(module, nn.Embedding)):
        nn.init.normal_(table.weight, std=settings.init_std)
    model.embed_token_seq_fields = partial(model.embed_token_seq_fields, mode="sum")
    if settings.model == "DCNV2":
        model.mlp_layers = MLPLayers([model.in_feature_num, *HIDDEN])
        for layer in model.mlp_layers.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        for weight in model.cross_layer_w:
            nn.init.xavier_normal_(weight)


def train(model: ContextRecommender, config: Config, rows: Any, settings: Settings) -> Turns:
    """RecBole's loop over the batches of its loader."""
    turns = Turns(settings.window, settings.turns)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.optimizer = TwoOptimizers(model, settings, turns.step)
    for epoch in range(settings.epochs):
        trainer._train_epoch(rows, epoch)
    return turns


def score(model: ContextRecommender, rows: Interaction, batch: int) -> np.ndarray:
    """Probabilities of all rows."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model.predict(rows[at : at + batch]) for at in range(0, len(rows), batch)]).numpy()


def main() -> None:
    settings = read_settings("recbole", MODELS, __doc__)
    if settings is None:
        return
    specs, parts = load(settings.data)
    with tempfile.TemporaryDirectory() as root:
        os.chdir(root)  # its trainer leaves a log where it runs
        write_rows(specs, parts, Path(root))
        wanted = {"data_path": root, "checkpoint_dir": root, "seed": settings.seed, "train_batch_size": settings.batch}
        wanted |= {"embedding_size": next(iter(specs.values()))["dim"]}
        config = Config(settings.model, NAME, config_dict=SETTINGS | wanted)
        init_seed(settings.seed, reproducibility=True)
        dataset = create_dataset(config)
        rows, _, tests = data_preparation(config, dataset)
        model = get_model(settings.model)(config, rows.dataset)
        start(model, settings)
        turns = train(model, config, rows, settings)
    test = tests.dataset.inter_feat
    print_figures(model, turns, settings, test["label"], score(model, test, settings.batch))


if __name__ == "__main__":
    main()
