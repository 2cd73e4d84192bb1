"""Trains FuxiCTR's models on rows that results.py wrote; runs in an interpreter that has fuxictr and not tzx.

The package carries FuxiCTR's layers, embeddings and training step, its model files only in part. The classes here join
its layers as the papers and its model zoo do, so embeddings, crosses, attention, initializers and gradient clipping
are FuxiCTR's own. Data, ids, widths, MLPs, optimizers, learning rates, batch size and epochs are those of results.py.
"""

import argparse
import json
import logging
import os
import resource
import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch import layers
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

HIDDEN = [256, 128]
BATCH, EPOCHS, WINDOW = 1024, 3, 10
TABLE_LR, DENSE_LR = 0.05, 0.001


class Peer(BaseModel):
    """What all share: embeddings of the fields, one logit through `head`."""

    def __init__(self, fields: FeatureMap, root: str) -> None:
        super().__init__(fields, verbose=0, model_root=root, metrics=["AUC", "logloss"])
        self.embedding_layer = layers.FeatureEmbedding(fields, fields.default_emb_dim)
        self.width, self.count = fields.sum_emb_out_dim(), fields.num_fields
        self.dim = fields.default_emb_dim
        self.make()
        self.compile("adam", "binary_crossentropy", DENSE_LR)
        self.reset_parameters()
        self.optimizer = TwoOptimizers(self)
        self._max_gradient_norm = 10.0

    def make(self) -> None:
        """Layers."""
        raise NotImplementedError

    def logit(self, X: Mapping[str, Tensor], fields_BFD: Tensor) -> Tensor:
        """Logit [B, 1]."""
        raise NotImplementedError

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities under FuxiCTR's name for them."""
        X = self.get_inputs(inputs)
        return {"y_pred": self.output_activation(self.logit(X, self.embedding_layer(X)))}

    def mlp(self, width: int, out: int | None = 1) -> nn.Module:
        """The MLP that every model has."""
        return layers.MLP_Block(input_dim=width, hidden_units=HIDDEN, output_dim=out)


class TwoOptimizers:
    """Adagrad for embedding tables, Adam for the rest, as one optimizer."""

    def __init__(self, model: nn.Module) -> None:
        tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        every = list(model.parameters())
        self.parts = [
            torch.optim.Adagrad([p for p in every if id(p) in tables], lr=TABLE_LR),
            torch.optim.Adam([p for p in every if id(p) not in tables and p.requires_grad], lr=DENSE_LR),
        ]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()


class DeepFM(Peer):
    def make(self) -> None:
        self.fm = layers.FactorizationMachine(self.feature_map)
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD):
        return self.fm(X, fields_BFD) + self.deep(fields_BFD.flatten(1))


class WideAndDeep(Peer):
    def make(self) -> None:
        self.wide = layers.LogisticRegression(self.feature_map)
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD):
        return self.wide(X) + self.deep(fields_BFD.flatten(1))


class MultiTower(Peer):
    """FuxiCTR's DNN."""

    def make(self) -> None:
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD):
        return self.deep(fields_BFD.flatten(1))


class DLRM(Peer):
    def make(self) -> None:
        self.products = layers.InnerProductInteraction(self.count, output="inner_product")
        self.top = self.mlp(self.count * (self.count - 1) // 2 + self.width)

    def logit(self, X, fields_BFD):
        return self.top(torch.cat([self.products(fields_BFD), fields_BFD.flatten(1)], dim=1))


class DCNV1(Peer):
    def make(self) -> None:
        self.cross = layers.CrossNet(self.width, 3)
        self.deep = self.mlp(self.width, None)
        self.head = nn.Linear(self.width + HIDDEN[-1], 1)

    def logit(self, X, fields_BFD):
        flat = fields_BFD.flatten(1)
        return self.head(torch.cat([self.cross(flat), self.deep(flat)], dim=1))


class DCNV2(DCNV1):
    def make(self) -> None:
        super().make()
        self.cross = layers.CrossNetV2(self.width, 3)


class xDeepFM(Peer):
    def make(self) -> None:
        self.wide = layers.LogisticRegression(self.feature_map, use_bias=False)
        self.cin = layers.CompressedInteractionNet(self.count, [32, 32])
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD):
        return self.wide(X) + self.cin(fields_BFD) + self.deep(fields_BFD.flatten(1))


class FiBiNET(Peer):
    def make(self) -> None:
        self.wide = layers.LogisticRegression(self.feature_map, use_bias=False)
        self.senet = layers.SqueezeExcitation(self.count, 3)
        self.bilinear = layers.BilinearInteractionV2(self.count, self.dim, "field_interaction")
        self.deep = self.mlp(self.count * (self.count - 1) * self.dim)

    def logit(self, X, fields_BFD):
        pairs = [self.bilinear(fields_BFD), self.bilinear(self.senet(fields_BFD))]
        return self.wide(X) + self.deep(torch.cat([p.flatten(1) for p in pairs], dim=1))


class FinalMLP(Peer):
    def make(self) -> None:
        from model_zoo.LongCTR.FinalMLP.FinalMLP import InteractionAggregation

        self.left, self.right = self.mlp(self.width, None), self.mlp(self.width, None)
        self.fusion = InteractionAggregation(HIDDEN[-1], HIDDEN[-1], output_dim=1, num_heads=1)

    def logit(self, X, fields_BFD):
        flat = fields_BFD.flatten(1)
        return self.fusion(self.left(flat), self.right(flat))


class MultiTowerDIN(Peer):
    """FuxiCTR's DIN; the target has no rating, so it is as wide as a step of the history by zeros."""

    def make(self) -> None:
        self.history = [f for f in self.feature_map.features if f.startswith("hist__")]
        step = sum(self.feature_map.features[f]["embedding_dim"] for f in self.history)
        self.width -= step
        self.attention = layers.DIN_Attention(step, attention_units=[32, 16], use_softmax=True)
        self.deep = self.mlp(self.width + step)

    def forward(self, inputs):
        X = self.get_inputs(inputs)
        mask = X["hist__item_id"][:, :, 0] > 0
        B, T = mask.shape
        flat = {f: x.reshape(B * T, -1) if f in self.history else x for f, x in X.items()}
        found = self.embedding_layer.embedding_layer(flat)
        steps = torch.cat([found[f] for f in self.history], dim=1).view(B, T, -1)
        target = torch.cat([found["item_id"], found["genres"]], dim=1)
        target = nn.functional.pad(target, (0, steps.shape[2] - target.shape[1]))
        row = [found[f] for f in self.feature_map.features if f not in self.history]
        pooled = self.attention(target, steps, mask)
        return {"y_pred": self.output_activation(self.deep(torch.cat([*row, pooled], dim=1)))}


_ALL = (DeepFM, WideAndDeep, MultiTower, DLRM, DCNV1, DCNV2, xDeepFM, FiBiNET, FinalMLP, MultiTowerDIN)
MODELS: dict[str, Callable[..., Peer]] = {cls.__name__: cls for cls in _ALL}


class Rows:
    """Batches of one part, in an order of their own each time."""

    def __init__(self, arrays: Mapping[str, Tensor], shuffled: bool) -> None:
        self.arrays, self.shuffled = arrays, shuffled

    def __len__(self) -> int:
        return -(-len(self.arrays["label"]) // BATCH)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rows = len(self.arrays["label"])
        order = torch.randperm(rows) if self.shuffled else torch.arange(rows)
        for part in order.split(BATCH):
            yield {name: array[part] for name, array in self.arrays.items()}


def feature_map(specs: Mapping[str, dict], arrays: Mapping[str, Tensor]) -> FeatureMap:
    """FuxiCTR's description of the fields; bags are its sequences, summed as tzx sums them."""
    fields = FeatureMap("movielens", "")
    fields.labels, fields.default_emb_dim = ["label"], max(s["dim"] for s in specs.values())
    features = OrderedDict()
    for name, spec in specs.items():
        bag = arrays[name].dim() > 1
        features[name] = {
            "type": "sequence" if bag else "categorical",
            "source": "",
            "vocab_size": spec["rows"] + 1,
            "padding_idx": 0,
            "embedding_dim": spec["dim"],
        }
        if bag:
            features[name] |= {"max_len": arrays[name].shape[-1], "feature_encoder": "layers.MaskedSumPooling()"}
        if spec["steps"] and (target := name.removeprefix("hist__")) in specs:
            features[name]["share_embedding"] = target
    fields.features = features
    fields.num_fields = fields.get_num_fields()
    fields.set_column_index()
    return fields


def load(path: str) -> tuple[dict[str, dict], dict[str, dict[str, Tensor]]]:
    """Specs of the features, and the tensors of both parts; a bag that never has two ids is a plain id."""
    content = np.load(path)
    specs = json.loads(str(content["specs"]))
    parts: dict[str, dict[str, Tensor]] = {"train": {}, "test": {}}
    for name in (*specs, "label"):
        pair = [torch.from_numpy(content[f"{part}/{name}"]) for part in parts]
        single = name != "label" and pair[0].dim() == 2 and max(p.shape[1] for p in pair) == 1
        for part, array in zip(parts, pair, strict=True):
            parts[part][name] = array[:, 0] if single else array
    return specs, parts


def train(model: Peer, rows: Rows) -> float:
    """Three epochs of FuxiCTR's training step; returns samples/s, the median over windows of steps."""
    speeds, began, steps = [], time.perf_counter(), 0
    model.train()
    for _ in range(EPOCHS):
        for batch in rows:
            model.train_step(batch).item()
            steps += 1
            if steps % WINDOW == 0:
                now = time.perf_counter()
                speeds.append(WINDOW * BATCH / (now - began))
                began = now
    return statistics.median(speeds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the models there are")
    parser.add_argument("--data")
    parser.add_argument("--model", choices=sorted(MODELS))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.list:
        print(json.dumps({"models": sorted(MODELS), "fuxictr": version("fuxictr"), "torch": version("torch")}))
        return
    logging.disable(logging.INFO)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    specs, parts = load(args.data)
    seed_everything(args.seed)
    with tempfile.TemporaryDirectory() as root:
        model = MODELS[args.model](feature_map(specs, parts["train"]), root)
        before = resource.getrusage(resource.RUSAGE_SELF)
        speed = train(model, Rows(parts["train"], shuffled=True))
        after = resource.getrusage(resource.RUSAGE_SELF)
        scores = model.predict(Rows(parts["test"], shuffled=False))
    labels = parts["test"]["label"].numpy()
    figures = {
        "auc": roc_auc_score(labels, scores),
        "log_loss": log_loss(labels, scores),
        "samples_per_second": speed,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
