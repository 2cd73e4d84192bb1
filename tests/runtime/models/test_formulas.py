"""Every model against an independent rendering of its formula in NumPy float64, on random weights."""

import numpy as np
import pytest


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

    def sequence(self):
        """One [T, D] per row: the item seen at each step and what was paid."""
        seen, paid, rows = self.arrays["seen"], self.arrays["paid"], self.table("item_emb")
        ends = np.cumsum(seen.seq_lengths)
        spans = [slice(end - n, end) for end, n in zip(ends, seen.seq_lengths, strict=True)]
        return [np.concatenate([rows[seen.values[s]], paid.values[s]], axis=1) for s in spans]

    def linear(self, name, x):
        return x @ self.p[f"{name}.weight"].T + self.p[f"{name}.bias"]

    def mlp(self, name, x):
        layer = 0
        while f"{name}.layers.{layer}.0.weight" in self.p:
            x = np.maximum(self.linear(f"{name}.layers.{layer}.0", x), 0)
            layer += 1
        assert layer > 0, f"no parameters called {name}.layers"
        return x

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


def deepfm(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    deep = o.mlp("deep", o.plain("user", "item", "tags"))
    pairs = fm(o.vectors("user", "item", "tags"))
    return o.linear("output", o.mlp("final", np.concatenate([wide, pairs, deep], axis=1)))


def deepfm_sum(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    deep = o.mlp("deep", o.plain("user", "city", "age", "price"))
    return wide + fm(o.vectors("user", "item", "tags")).sum(1, keepdims=True) + o.linear("output", deep)


def wide_and_deep(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    deep = o.mlp("deep", o.plain("user", "city", "age", "price"))
    return o.linear("output", o.mlp("final", np.concatenate([wide, deep], axis=1)))


def wide_and_deep_sum(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    return wide + o.linear("output", o.mlp("deep", o.plain("user", "city", "age", "price")))


def multi_tower(o, *more):
    towers = [o.mlp("towers.0", o.plain("user", "city", "age")), o.plain("item", "tags"), *more]
    return o.linear("output", o.mlp("final", np.concatenate(towers, axis=1)))


def multi_tower_din(o):
    return multi_tower(o, o.din("din_towers.0", o.plain("item"), o.sequence()))


def dlrm(o):
    dense = o.mlp("dense_mlp", o.plain("age", "price"))
    x = np.concatenate([dense[:, None], o.vectors("user", "item", "tags")], axis=1)
    dots = np.stack([(x[:, i] * x[:, j]).sum(1) for i in range(4) for j in range(i + 1, 4)], axis=1)
    return o.linear("output", o.mlp("final", np.concatenate([dots, dense, o.plain("user", "item", "tags")], axis=1)))


def dlrm_plain(o):
    x = o.vectors("tags", "user", "item")
    dots = np.stack([(x[:, i] * x[:, j]).sum(1) for i, j in [(0, 1), (0, 2), (1, 2)]], axis=1)
    return o.linear("output", o.mlp("final", dots))


def mmoe(o, num_expert=2, gate_mlp=True):
    x = o.plain("user", "age", "tags", "item", "price")
    experts = np.stack([o.mlp(f"mmoe.experts.{e}", x) for e in range(num_expert)], axis=1)
    logits = []
    for task, has_mlp in enumerate([True, False, False]):
        gate = f"mmoe.gates.{task}"
        scores = o.linear(f"{gate}.1", o.mlp(f"{gate}.0", x)) if gate_mlp else o.linear(gate, x)
        mixed = (softmax(scores)[:, :, None] * experts).sum(1)
        tower = f"task_towers.{task}"
        logits.append(o.linear(f"{tower}.output", o.mlp(f"{tower}.mlp", mixed) if has_mlp else mixed))
    return logits


def mmoe_plain(o):
    return mmoe(o, num_expert=3, gate_mlp=False)


FORMULAS = [
    deepfm, deepfm_sum, wide_and_deep, wide_and_deep_sum, multi_tower, multi_tower_din, dlrm, dlrm_plain,
    mmoe, mmoe_plain,
]  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [1, 9])
def test_predictions_equal_the_formula(make_case, model_texts, formula, size):
    case = make_case(model_texts[formula.__name__], size=size, seed=size)
    model = case.model(seed=size)
    got = {name: p.detach().numpy() for name, p in model.predict(case.batch).items()}
    logits = formula(Oracle(model, case.arrays))
    if "mmoe" in formula.__name__:
        ctr, stars, value = logits
        expected = {
            "logits_ctr": ctr[:, 0],
            "probs_ctr": sigmoid(ctr[:, 0]),
            "logits_stars": stars,
            "probs_stars": softmax(stars),
            "y_value": value[:, 0],
        }
    elif logits.shape[1] == 3:
        expected = {"logits": logits, "probs": softmax(logits)}
    else:
        expected = {"logits": logits[:, 0], "probs": sigmoid(logits[:, 0])}
    assert list(got) == list(expected) == model.output_names
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        np.testing.assert_allclose(got[name], value, atol=1e-5, rtol=1e-5, err_msg=name)


def test_every_model_has_a_formula(model_texts):
    assert [f.__name__ for f in FORMULAS] == list(model_texts)
