"""Float64 building blocks of the formulas: tables, groups and layers from a model's parameters."""

import numpy as np


class Oracle:
    """Groups' tensors and layers computed from a model's parameters by name and from plain arrays of rows."""

    def __init__(self, model, arrays):
        self.p = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}
        self.arrays = arrays

    def table(self, name):
        (found,) = (value for key, value in self.p.items() if key.endswith(f".{name}.weight"))
        return found

    def pooled(self, feature, table=None, mean=False):
        data, rows, at = self.arrays[feature], self.table(table or f"{feature}_emb"), 0
        out = np.zeros((len(data.lengths), rows.shape[1]))
        for i, n in enumerate(data.lengths):
            out[i] = rows[data.values[at : at + n]].sum(0)
            out[i] /= max(n, 1) if mean else 1
            at += n
        return out

    def plain(self, *features, wide=False):
        """Columns of plain features side by side, [B, D]."""
        columns = []
        for name in features:
            if name in ("age", "price"):
                columns.append(self.arrays[name].values.astype(np.float64))
            else:
                columns.append(self.pooled(name, f"{name}_emb_wide" if wide else None, mean=name == "tags"))
        return np.concatenate(columns, axis=1)

    def vectors(self, *features):
        """Embeddings as [B, F, D]."""
        return np.stack([self.plain(name) for name in features], axis=1)

    def sequence(self, second="paid"):
        """One [T, D] per row: the item seen at each step, and what was paid or the town."""
        seen, other, rows = self.arrays["seen"], self.arrays[second], self.table("item_emb")
        columns = other.values if second == "paid" else self.table("city_emb")[other.values]
        ends = np.cumsum(seen.seq_lengths)
        spans = [slice(end - n, end) for end, n in zip(ends, seen.seq_lengths, strict=True)]
        return [np.concatenate([rows[seen.values[s]], columns[s]], axis=1) for s in spans]

    def linear(self, name, x):
        return x @ self.p[f"{name}.weight"].T + self.p.get(f"{name}.bias", 0)

    def mlp(self, name, x):
        layer = 0
        while f"{name}.layers.{layer}.0.weight" in self.p:
            x = np.maximum(self.linear(f"{name}.layers.{layer}.0", x), 0)
            layer += 1
        assert layer > 0, f"no parameters called {name}.layers"
        return x

    def task_towers(self, inputs):
        """Logits of the towers in configs.TASKS, of which the first has an MLP."""
        ctr, *others = inputs
        hidden = [self.mlp("task_towers.0.mlp", ctr), *others]
        return [self.linear(f"task_towers.{i}.output", x) for i, x in enumerate(hidden)]

    def layer_norm(self, name, x):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(var + 1e-5) * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def din(self, name, query, sequences):
        """Attention of each row's query [Q] over its steps [T, D]."""
        out = np.zeros((len(query), sequences[0].shape[1]))
        for i, keys in enumerate(sequences):
            if len(keys) == 0:
                continue
            q = np.broadcast_to(np.pad(query[i], (0, keys.shape[1] - query.shape[1])), keys.shape)
            pairs = np.concatenate([q, keys, q - keys, q * keys], axis=1)
            scores = self.linear(f"{name}.linear", self.mlp(f"{name}.mlp", pairs))[:, 0]
            out[i] = softmax(scores) @ keys
        return out


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def fm(vectors):
    """Sum over pairs i < j of v_i * v_j, pair by pair, [B, D]."""
    n = vectors.shape[1]
    return sum(vectors[:, i] * vectors[:, j] for i in range(n) for j in range(i + 1, n))


def concat(*parts):
    return np.concatenate(parts, axis=1)


def binary(logits, suffix=""):
    """Predictions of binary_cross_entropy."""
    return {f"logits{suffix}": logits[:, 0], f"probs{suffix}": sigmoid(logits[:, 0])}


def classes(logits, suffix=""):
    """Predictions of softmax_cross_entropy with three classes."""
    return {f"logits{suffix}": logits, f"probs{suffix}": softmax(logits)}


def predictions(found):
    """What a formula returned as predictions: a dict of them, logits of one task, or of the towers in configs.TASKS."""
    if isinstance(found, list):
        ctr, stars, value = found
        return binary(ctr, "_ctr") | classes(stars, "_stars") | {"y_value": value[:, 0]}
    if isinstance(found, dict):
        return found
    return classes(found) if found.shape[1] == 3 else binary(found)
