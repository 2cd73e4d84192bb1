"""Trains FuxiCTR's models on rows that results.py wrote; runs in an interpreter that has fuxictr and not tzx.

The package carries FuxiCTR's layers, embeddings and training step, its model files only in part; the layers of the
others come from a checkout of its repository, which FUXICTR_CHECKOUT names. The classes here join these layers as the
papers and its model zoo do, so embeddings, crosses, attention, initializers and gradient clipping are FuxiCTR's own.
Data, ids, widths, MLPs, optimizers, learning rates, batch size and epochs are those of results.py.
"""

import logging
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch import layers
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything
from peer_training import DENSE, HIDDEN, Arrays, Settings, Specs, TwoOptimizers, load, print_figures, read_settings
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, default_collate
from turns import Turns


class Peer(BaseModel):
    """What all share: embeddings of the fields, beside them the dense columns as they are, one logit."""

    def __init__(self, fields: FeatureMap, dense: int, root: str, init_std: float) -> None:
        super().__init__(fields, verbose=0, model_root=root, metrics=["AUC", "logloss"])
        start = f"partial(nn.init.normal_, std={init_std})"
        self.embedding_layer = layers.FeatureEmbedding(fields, fields.default_emb_dim, start)
        self.dense, self.width, self.count = dense, fields.sum_emb_out_dim() + dense, fields.num_fields
        self.dim = fields.default_emb_dim
        self.make()
        self.compile("adam", "binary_crossentropy", 0.001)
        self.reset_parameters()
        self._max_gradient_norm = 10.0

    def make(self) -> None:
        """Layers."""
        raise NotImplementedError

    def logit(self, X: Mapping[str, Tensor], fields_BFD: Tensor, flat_BD: Tensor) -> Tensor:
        """Logit [B, 1] from the ids, their embeddings, and embeddings and dense columns in one row."""
        raise NotImplementedError

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities under FuxiCTR's name for them."""
        X = self.get_inputs({name: column for name, column in inputs.items() if name != DENSE})
        fields = self.embedding_layer(X)
        flat = torch.cat([fields.flatten(1), inputs[DENSE]], dim=1) if self.dense else fields.flatten(1)
        return {"y_pred": self.output_activation(self.logit(X, fields, flat))}

    def mlp(self, width: int, out: int | None = 1) -> nn.Module:
        """The MLP that every model has."""
        return layers.MLP_Block(input_dim=width, hidden_units=HIDDEN, output_dim=out)


class DeepFM(Peer):
    def make(self) -> None:
        self.fm = layers.FactorizationMachine(self.feature_map)
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD, flat_BD):
        return self.fm(X, fields_BFD) + self.deep(flat_BD)


class WideAndDeep(Peer):
    def make(self) -> None:
        self.wide = layers.LogisticRegression(self.feature_map)
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD, flat_BD):
        return self.wide(X) + self.deep(flat_BD)


class MultiTower(Peer):
    """FuxiCTR's DNN."""

    def make(self) -> None:
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD, flat_BD):
        return self.deep(flat_BD)


class DLRM(Peer):
    """With dense columns, an MLP makes one more vector of them."""

    def make(self) -> None:
        count = self.count + bool(self.dense)
        self.bottom = layers.MLP_Block(input_dim=self.dense, hidden_units=[64, self.dim]) if self.dense else None
        self.products = layers.InnerProductInteraction(count, output="inner_product")
        self.top = self.mlp(count * (count - 1) // 2 + count * self.dim)

    def logit(self, X, fields_BFD, flat_BD):
        if self.bottom is not None:
            fields_BFD = torch.cat([self.bottom(flat_BD[:, -self.dense :]).unsqueeze(1), fields_BFD], dim=1)
        return self.top(torch.cat([self.products(fields_BFD), fields_BFD.flatten(1)], dim=1))


class DCNV1(Peer):
    def make(self) -> None:
        self.cross = layers.CrossNet(self.width, 3)
        self.deep = self.mlp(self.width, None)
        self.head = nn.Linear(self.width + HIDDEN[-1], 1)

    def logit(self, X, fields_BFD, flat_BD):
        return self.head(torch.cat([self.cross(flat_BD), self.deep(flat_BD)], dim=1))


class DCNV2(DCNV1):
    def make(self) -> None:
        super().make()
        self.cross = layers.CrossNetV2(self.width, 3)


class xDeepFM(Peer):
    def make(self) -> None:
        self.wide = layers.LogisticRegression(self.feature_map, use_bias=False)
        self.cin = layers.CompressedInteractionNet(self.count, [32, 32])
        self.deep = self.mlp(self.width)

    def logit(self, X, fields_BFD, flat_BD):
        return self.wide(X) + self.cin(fields_BFD) + self.deep(flat_BD)


class FiBiNET(Peer):
    def make(self) -> None:
        self.wide = layers.LogisticRegression(self.feature_map, use_bias=False)
        self.senet = layers.SqueezeExcitation(self.count, 3)
        self.bilinear = layers.BilinearInteractionV2(self.count, self.dim, "field_interaction")
        self.deep = self.mlp(self.count * (self.count - 1) * self.dim)

    def logit(self, X, fields_BFD, flat_BD):
        pairs = [self.bilinear(fields_BFD), self.bilinear(self.senet(fields_BFD))]
        return self.wide(X) + self.deep(torch.cat([p.flatten(1) for p in pairs], dim=1))


class FinalMLP(Peer):
    def make(self) -> None:
        from model_zoo.LongCTR.FinalMLP.FinalMLP import InteractionAggregation

        self.left, self.right = self.mlp(self.width, None), self.mlp(self.width, None)
        self.fusion = InteractionAggregation(HIDDEN[-1], HIDDEN[-1], output_dim=1, num_heads=1)

    def logit(self, X, fields_BFD, flat_BD):
        return self.fusion(self.left(flat_BD), self.right(flat_BD))


NEWEST = 20  # steps that DIEN and BST look at


class HistoryPeer(Peer):
    """Fields beside an encoded history; the target has no rating, so it is as wide as a step by zeros."""

    def make(self) -> None:
        self.history = [f for f in self.feature_map.features if f.startswith("hist__")]
        self.step = sum(self.feature_map.features[f]["embedding_dim"] for f in self.history)
        self.width -= self.step
        self.deep = self.mlp(self.width + self.make_encoder())

    def make_encoder(self) -> int:
        """Layers of the encoder; returns how wide its output is."""
        raise NotImplementedError

    def encode(self, target_BD: Tensor, steps_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """The history, newest step first, as [B, width]."""
        raise NotImplementedError

    def forward(self, inputs):
        X = self.get_inputs(inputs)
        mask_BT = X["hist__item_id"][:, :, 0] > 0
        B, T = mask_BT.shape
        flat = {f: x.reshape(B * T, -1) if f in self.history else x for f, x in X.items()}
        found = self.embedding_layer.embedding_layer(flat)
        steps_BTD = torch.cat([found[f] for f in self.history], dim=1).view(B, T, -1)
        target_BD = torch.cat([found["item_id"], found["genres"]], dim=1)
        target_BD = nn.functional.pad(target_BD, (0, self.step - target_BD.shape[1]))
        row = [found[f] for f in self.feature_map.features if f not in self.history]
        encoded = self.encode(target_BD, steps_BTD, mask_BT)
        return {"y_pred": self.output_activation(self.deep(torch.cat([*row, encoded], dim=1)))}


class MultiTowerDIN(HistoryPeer):
    """FuxiCTR's DIN."""

    def make_encoder(self) -> int:
        self.attention = layers.DIN_Attention(self.step, attention_units=[32, 16], use_softmax=True)
        return self.step

    def encode(self, target_BD, steps_BTD, mask_BT):
        return self.attention(target_BD, steps_BTD, mask_BT)


class DIEN(HistoryPeer):
    """FuxiCTR's of long sequences, which has no auxiliary loss."""

    def make_encoder(self) -> int:
        from model_zoo.LongCTR.DIEN.DIEN import AttentionLayer, DynamicGRU

        self.extraction = nn.GRU(self.step, self.step, batch_first=True)
        self.attention, self.evolution = AttentionLayer(self.step), DynamicGRU(self.step, self.step)
        return self.step

    def encode(self, target_BD, steps_BTD, mask_BT):
        out_BD, some_B = torch.zeros_like(target_BD), mask_BT.any(dim=1)
        target_BD, steps_BTD, mask_BT = target_BD[some_B], steps_BTD[some_B, :NEWEST], mask_BT[some_B, :NEWEST]
        lengths_B = mask_BT.sum(dim=1)
        at_BT = (lengths_B.unsqueeze(1) - 1 - torch.arange(mask_BT.shape[1])).clamp(min=0)
        in_time_BTD = steps_BTD.gather(1, at_BT.unsqueeze(2).expand_as(steps_BTD))
        packed = partial(pack_padded_sequence, lengths=lengths_B, batch_first=True, enforce_sorted=False)
        interests, _ = self.extraction(packed(in_time_BTD))
        padded_BTD, _ = pad_packed_sequence(interests, batch_first=True, total_length=mask_BT.shape[1])
        scores_BT = self.attention(padded_BTD, target_BD, mask_BT)
        out_BD[some_B] = self.evolution(interests, packed(scores_BT))[1]
        return out_BD


class SIM(HistoryPeer):
    """FuxiCTR's without its attention over the newest steps."""

    def make_encoder(self) -> int:
        self.search_query, self.search_key = (nn.Linear(self.step, 16, bias=False) for _ in range(2))
        self.search = self.mlp(2 * self.step)
        self.attention = layers.MultiHeadTargetAttention(self.step, attention_dim=64, num_heads=4)
        return self.step

    def encode(self, target_BD, steps_BTD, mask_BT):
        query_B1E, key_BTE = self.search_query(target_BD).unsqueeze(1), self.search_key(steps_BTD)
        score_BT = torch.bmm(query_B1E, key_BTE.transpose(1, 2)).squeeze(1) * mask_BT
        pooled_BD = torch.bmm(score_BT.unsqueeze(1), steps_BTD).squeeze(1)
        self.searched = self.output_activation(self.search(torch.cat([target_BD, pooled_BD], dim=1)))
        best_BK = score_BT.topk(10, dim=1).indices
        found_BKD = steps_BTD.gather(1, best_BK.unsqueeze(2).expand(-1, -1, self.step))
        return self.attention(target_BD, found_BKD, mask_BT.gather(1, best_BK))

    def add_loss(self, return_dict, y_true):
        return super().add_loss(return_dict, y_true) + super().add_loss({"y_pred": self.searched}, y_true)


class BST(HistoryPeer):
    """All positions side by side, none of which looks at one that is not there."""

    def make_encoder(self) -> int:
        from model_zoo.BST.src.BST import BehaviorTransformer

        self.heads, position = 4, 8
        width = self.step + position
        self.transformer = BehaviorTransformer(NEWEST + 1, width, self.heads, position_dim=position)
        return (NEWEST + 1) * width

    def encode(self, target_BD, steps_BTD, mask_BT):
        steps_BSD = torch.cat([steps_BTD[:, :NEWEST], target_BD.unsqueeze(1)], dim=1)
        there_BS = nn.functional.pad(mask_BT[:, :NEWEST], (0, 1), value=True)
        hidden_BSS = ~there_BS.unsqueeze(1) & ~torch.eye(NEWEST + 1, dtype=torch.bool)
        out_BSD = self.transformer(steps_BSD, hidden_BSS.repeat_interleave(self.heads, dim=0))
        return (out_BSD * there_BS.unsqueeze(2)).flatten(1)


class AutoInt(Peer):
    """Without the network beside the attention."""

    def make(self) -> None:
        from model_zoo.AutoInt.src.AutoInt import MultiHeadSelfAttention

        heads, width = 2, 64
        self.attention = nn.Sequential(*(MultiHeadSelfAttention(w, width, heads) for w in (self.dim, width, width)))
        self.head = nn.Linear(self.count * width, 1)

    def logit(self, X, fields_BFD, flat_BD):
        return self.head(self.attention(fields_BFD).flatten(1))


class GDCN(DCNV1):
    """FuxiCTR's GDCNP."""

    def make(self) -> None:
        from model_zoo.GDCN.src.GDCN import GateCorssLayer

        super().make()
        self.cross = GateCorssLayer(self.width, 3)


class MaskNet(Peer):
    """FuxiCTR's, of parallel blocks."""

    def make(self) -> None:
        from model_zoo.MaskNet.src.MaskNet import ParallelMaskNet

        self.norms = nn.ModuleList(nn.LayerNorm(self.dim) for _ in range(self.count))
        self.blocks = ParallelMaskNet(self.width, 1, None, 3, 128, HIDDEN, reduction_ratio=2)

    def logit(self, X, fields_BFD, flat_BD):
        normed = [norm(x_BD) for norm, x_BD in zip(self.norms, fields_BFD.unbind(1), strict=True)]
        return self.blocks(flat_BD, torch.cat(normed, dim=1))


class WuKong(Peer):
    """Without dropout; both parts of a layer are as wide as four vectors."""

    def make(self) -> None:
        from model_zoo.WuKong.src.WuKong import WuKongLayer

        wide = 4 * self.dim
        self.layers = nn.Sequential(*(WuKongLayer(self.count, self.dim, 4, [64], wide, wide, 0.0) for _ in range(2)))
        self.top = self.mlp(self.width)

    def logit(self, X, fields_BFD, flat_BD):
        return self.top(self.layers(fields_BFD))


_ALL = [DeepFM, WideAndDeep, MultiTower, DLRM, DCNV1, DCNV2, xDeepFM, FiBiNET, FinalMLP]
_ALL += [MultiTowerDIN, DIEN, SIM]
if CHECKOUT := os.environ.get("FUXICTR_CHECKOUT"):
    sys.path.append(CHECKOUT)  # at the end: the installed package stays what it is
    _ALL += [AutoInt, BST, GDCN, MaskNet, WuKong]
MODELS: dict[str, Callable[..., Peer]] = {cls.__name__: cls for cls in _ALL}


class Rows:
    """Batches of one part, in an order of their own each time."""

    def __init__(self, arrays: Arrays, batch: int, shuffled: bool) -> None:
        self.arrays, self.batch, self.shuffled = arrays, batch, shuffled

    def __len__(self) -> int:
        return -(-len(self.arrays["label"]) // self.batch)

    def __iter__(self) -> Iterator[Arrays]:
        rows = len(self.arrays["label"])
        order = torch.randperm(rows) if self.shuffled else torch.arange(rows)
        for part in order.split(self.batch):
            yield {name: array[part] for name, array in self.arrays.items()}


class LoadedRows(DataLoader):
    """Batches as FuxiCTR's own npz loader makes them, on the rows of one matrix, in one worker process."""

    def __init__(self, arrays: Arrays, batch: int) -> None:
        columns = [array if array.dim() > 1 else array.unsqueeze(1) for array in arrays.values()]
        whole = any(column.dtype.is_floating_point for column in columns)
        matrix = np.concatenate([column.numpy() for column in columns], axis=1, dtype=float if whole else np.int64)
        self._kinds = {name: (array.dim() > 1, array.dtype) for name, array in arrays.items()}
        self._widths = [column.shape[1] for column in columns]
        super().__init__(matrix, batch_size=batch, shuffle=True, num_workers=1, collate_fn=self._columns)

    def _columns(self, rows: list[np.ndarray]) -> Arrays:
        parts = default_collate(rows).split(self._widths, dim=1)
        named = zip(self._kinds.items(), parts, strict=True)
        return {name: (part if wide else part[:, 0]).to(kind) for (name, (wide, kind)), part in named}


def feature_map(specs: Specs, arrays: Arrays) -> FeatureMap:
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


def train(model: Peer, rows: Rows | LoadedRows, settings: Settings) -> Turns:
    """FuxiCTR's training step on every batch; its own loop does no more than this, and draws a progress bar."""
    turns = Turns(settings.window, settings.turns)
    model.optimizer = TwoOptimizers(model, settings, turns.step)
    model.train()
    for _ in range(settings.epochs):
        for batch in rows:
            model.train_step(batch).item()
    return turns


def main() -> None:
    settings = read_settings("fuxictr", list(MODELS), __doc__)
    if settings is None:
        return
    logging.disable(logging.INFO)
    specs, parts = load(settings.data)
    seed_everything(settings.seed)
    train_part, test_part = parts["train"], parts["test"]
    dense = train_part[DENSE].shape[1] if DENSE in train_part else 0
    with tempfile.TemporaryDirectory() as root:
        model = MODELS[settings.model](feature_map(specs, train_part), dense, root, settings.init_std)
        loaded = settings.own_loader
        rows = LoadedRows(train_part, settings.batch) if loaded else Rows(train_part, settings.batch, shuffled=True)
        turns = train(model, rows, settings)
        scores = model.predict(Rows(test_part, settings.batch, shuffled=False))
    print_figures(model, turns, settings, test_part["label"], scores)


if __name__ == "__main__":
    main()
