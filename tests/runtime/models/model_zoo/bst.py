"""BST."""

import numpy as np

from model_zoo.configs import BCE, SEQ, TWO
from model_zoo.oracle import concat, softmax

REST = 'towers { input: "user" mlp { hidden_units: [7] } } towers { input: "item" } final { hidden_units: 6 }'
TEXTS = {
    "bst": f"""{TWO} {SEQ} bst {{ {REST} bst_towers {{ input: "seq" max_seq_length: 4 num_layers: 2 num_heads: 3
        hidden_dim: 5 }} }} {BCE}""",
    "bst_one_head": f'{TWO} {SEQ} bst {{ {REST} bst_towers {{ input: "seq" max_seq_length: 9 num_heads: 1 }} }} {BCE}',
}
BAD = {
    "bst heads": (
        f'{TWO} {SEQ} bst {{ {REST} bst_towers {{ input: "seq" }} }} {BCE}',
        "num_heads is 4; it must divide the width of an element, 6",
    ),
    "bst length": (
        f'{TWO} {SEQ} bst {{ {REST} bst_towers {{ input: "seq" max_seq_length: 0 }} }} {BCE}',
        "model_config.bst: bst_towers: feature group 'seq': max_seq_length is 0; allowed: 1 or more",
    ),
    "bst without query": (
        f'{TWO} feature_groups {{ group_name: "seq" feature_names: "seen" group_type: SEQUENCE }} '
        f'bst {{ {REST} bst_towers {{ input: "seq" }} }} {BCE}',
        "model_config.bst: bst_towers: feature group 'seq' has no query: list the plain features that its elements "
        "are compared with",
    ),
    "bst dropout": (
        f'{TWO} {SEQ} bst {{ {REST} bst_towers {{ input: "seq" num_heads: 2 dropout_ratio: 1 }} }} {BCE}',
        "dropout_ratio is 1; it must be in [0, 1)",
    ),
}


def layer(o, name, x, heads):
    q, k, v = (x @ o.p[f"{name}.{m}.weight"].T for m in ("query", "key", "value"))
    parts = []
    for q_h, k_h, v_h in zip(*(np.split(m, heads, axis=1) for m in (q, k, v)), strict=True):
        parts.append(softmax(q_h @ k_h.T / np.sqrt(q_h.shape[1])) @ v_h)
    y = o.layer_norm(f"{name}.attention_norm", x + concat(*parts) @ o.p[f"{name}.output.weight"].T)
    hidden = o.linear(f"{name}.feed_forward.0", y)
    return o.layer_norm(
        f"{name}.norm", y + o.linear(f"{name}.feed_forward.2", np.where(hidden > 0, hidden, 0.01 * hidden))
    )


def transformer(o, name, length, layers, heads):
    query, out = o.plain("item"), []
    for q, keys in zip(query, o.sequence(), strict=True):
        x = np.concatenate([np.pad(q, (0, 2))[None], keys[:length]]) + o.p[f"{name}.position"][: len(keys[:length]) + 1]
        for i in range(layers):
            x = layer(o, f"{name}.layers.{i}", x, heads)
        out.append(np.pad(x, ((0, length + 1 - len(x)), (0, 0))).ravel())
    return np.stack(out)


def head(o, encoded):
    parts = o.mlp("towers.0", o.plain("user", "city", "age")), o.plain("item", "tags"), encoded
    return o.linear("output", o.mlp("final", concat(*parts)))


def bst(o):
    assert o.p["bst_towers.0.layers.1.feed_forward.0.weight"].shape == (5, 6)
    return head(o, transformer(o, "bst_towers.0", 4, 2, 3))


def bst_one_head(o):
    assert o.p["bst_towers.0.layers.0.feed_forward.0.weight"].shape == (24, 6)
    return head(o, transformer(o, "bst_towers.0", 9, 1, 1))


FORMULAS = [bst, bst_one_head]
