"""AutoInt."""

import numpy as np

from model_zoo.configs import BCE, CE3, DENSE, SPARSE
from model_zoo.oracle import softmax

TEXTS = {
    "autoint": f"""{SPARSE} {DENSE} autoint {{ dense_mlp {{ hidden_units: [6, 4] }} num_layers: 2 num_heads: 2
        head_dim: 3 deep {{ hidden_units: [7, 5] }} }} {BCE}""",
    "autoint_plain": f"{SPARSE} autoint {{ num_heads: 1 head_dim: 5 }} {CE3}",
}
BAD = {
    "autoint heads": (
        f"{SPARSE} autoint {{ num_heads: 0 }} {BCE}",
        "model_config.autoint: num_heads is 0; allowed: 1 or more",
    ),
    "autoint unequal dims": (
        'feature_groups { group_name: "g" feature_names: ["user", "item", "city"] group_type: DEEP } '
        f"autoint {{}} {BCE}",
        "model_config.autoint: features of group 'g' must all have the same embedding_dim; expected 4 as 2 of 3",
    ),
}


def layer(o, name, x, heads):
    q, k, v, residual = (
        np.einsum("bfd,ad->bfa", x, o.p[f"{name}.{m}.weight"]) for m in ("query", "key", "value", "residual")
    )
    size = q.shape[2] // heads
    out = np.zeros_like(q)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        for m in range(x.shape[1]):
            scores = np.stack([(q[:, m, part] * k[:, j, part]).sum(1) for j in range(x.shape[1])], axis=1)
            weights = softmax(scores)
            out[:, m, part] = sum(weights[:, [j]] * v[:, j, part] for j in range(x.shape[1]))
    return np.maximum(out + residual, 0)


def autoint(o):
    dense = o.mlp("dense_mlp", o.plain("age", "price"))
    first = np.concatenate([dense[:, None], o.vectors("user", "item", "tags")], axis=1)
    x = layer(o, "layers.1", layer(o, "layers.0", first, 2), 2)
    flat, deep = x.reshape(len(x), -1), o.mlp("deep", first.reshape(len(x), -1))
    return o.linear("output", flat) + o.linear("deep_output", deep)


def autoint_plain(o):
    x = o.vectors("user", "item", "tags")
    for i in range(3):
        x = layer(o, f"layers.{i}", x, 1)
    return o.linear("output", x.reshape(len(x), -1))


FORMULAS = [autoint, autoint_plain]
