"""Trains DeepCTR-Torch's models on rows that tzx wrote; runs in an interpreter that has deepctr-torch and not tzx.

Models, layers and training loop (`fit`) are the library's own. Set here: no L2 terms, which walk over whole tables at
each step, and linear layers that start as tzx's do here; their own start, normal with 0.0001, hardly moves in an epoch.
"""

import contextlib
import io
from collections.abc import Callable

import numpy as np
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DCN, DeepFM
from deepctr_torch.models.basemodel import BaseModel
from peer_training import DENSE, HIDDEN, Arrays, Settings, Specs, TwoOptimizers, load, print_figures, read_settings
from torch import nn
from turns import Turns

PREDICTED = 4096
_NO_L2 = {"l2_reg_linear": 0, "l2_reg_embedding": 0, "dnn_hidden_units": HIDDEN}
Columns = list[SparseFeat | VarLenSparseFeat | DenseFeat]


def deepfm(columns: Columns, seed: int) -> BaseModel:
    """DeepFM."""
    return DeepFM(columns, columns, seed=seed, **_NO_L2)


def dcn_v2(columns: Columns, seed: int) -> BaseModel:
    """DCN with matrices, without the linear part."""
    return DCN([], columns, cross_num=3, cross_parameterization="matrix", l2_reg_cross=0, seed=seed, **_NO_L2)


MODELS: dict[str, Callable[[Columns, int], BaseModel]] = {"DeepFM": deepfm, "DCNV2": dcn_v2}


def columns_of(specs: Specs, arrays: Arrays) -> Columns:
    """The library's description of the features; ids are counted from 1, 0 fills up bags."""
    found: Columns = []
    for name, spec in specs.items():
        column = SparseFeat(name, spec["rows"] + 1, spec["dim"])
        bag = arrays[name].dim() > 1
        found.append(VarLenSparseFeat(column, arrays[name].shape[1], "sum") if bag else column)
    return found + ([DenseFeat(DENSE, arrays[DENSE].shape[1])] if DENSE in arrays else [])


def inputs(arrays: Arrays) -> dict[str, np.ndarray]:
    """Columns as `fit` takes them; it joins them to one matrix of floats, in which ids below 2^24 are exact."""
    return {name: array.numpy().astype(np.float32) for name, array in arrays.items() if name != "label"}


def train(model: BaseModel, part: Arrays, settings: Settings) -> Turns:
    """The library's `fit`, silent, as that also spares it its metrics."""
    turns = Turns(settings.window, settings.turns)
    model.compile(TwoOptimizers(model, settings, turns.step), "binary_crossentropy")
    labels = part["label"].numpy().astype(np.float32)
    with contextlib.redirect_stderr(io.StringIO()):
        model.fit(inputs(part), labels, settings.batch, settings.epochs, verbose=0, shuffle=True)
    return turns


def main() -> None:
    settings = read_settings("deepctr-torch", list(MODELS), __doc__)
    if settings is None:
        return
    specs, parts = load(settings.data)
    model = MODELS[settings.model](columns_of(specs, parts["train"]), settings.seed)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
    turns = train(model, parts["train"], settings)
    scores = model.predict(inputs(parts["test"]), PREDICTED)
    print_figures(model, turns, settings, parts["test"]["label"], scores)


if __name__ == "__main__":
    main()
