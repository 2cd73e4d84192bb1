"""FinalMLP."""

import numpy as np

from model_zoo.configs import ALL, BCE, CE3, TWO
from model_zoo.oracle import sigmoid

STREAMS = "first { mlp { hidden_units: [8, 6] } %s } second { mlp { hidden_units: 4 } %s }"
GATES = ('gate_mlp { hidden_units: [5, 3] } gate_input: "user"', "gate_mlp { hidden_units: 7 }")
TEXTS = {
    "finalmlp": f"{ALL} {TWO} finalmlp {{ {STREAMS % GATES} num_heads: 2 }} {BCE}".replace(
        '"item" feature', '"it" feature'
    ),
    "finalmlp_ungated": f"{ALL} finalmlp {{ {STREAMS % ('', '')} }} {CE3}",
}
BAD = {
    "finalmlp heads": (
        f"{ALL} finalmlp {{ {STREAMS % ('', '')} num_heads: 4 }} {BCE}",
        "model_config.finalmlp: num_heads is 4; it must divide the widths of both streams, 6 and 4",
    ),
    "finalmlp context": (
        f"{ALL} finalmlp {{ {STREAMS % GATES} }} {BCE}",
        "model_config.finalmlp needs a feature group 'user' of type DEEP; known: all",
    ),
}


def fuse(o, x, y, heads):
    rows = []
    for weight, w1, b1, w2 in zip(
        o.p["fusion.weight"],
        o.p["fusion.first.weight"],
        o.p["fusion.first.bias"],
        o.p["fusion.second.weight"],
        strict=True,
    ):
        out = b1 + x @ w1 + y @ w2
        for h, (x_h, y_h) in enumerate(zip(np.split(x, heads, axis=1), np.split(y, heads, axis=1), strict=True)):
            out = out + ((x_h @ weight[h]) * y_h).sum(1)
        rows.append(out)
    return np.stack(rows, axis=1)


def gate(o, name, context):
    return 2 * sigmoid(o.linear(f"{name}.output", o.mlp(f"{name}.mlp", context)))


def finalmlp(o):
    e = o.plain("user", "age", "tags", "item", "price")
    x = o.mlp("first_mlp", e * gate(o, "first_gate", o.plain("user", "city", "age")))
    y = o.mlp("second_mlp", e * gate(o, "second_gate", o.p["second_gate.context"][None]))
    assert "first_gate.context" not in o.p
    return fuse(o, x, y, 2)


def finalmlp_ungated(o):
    e = o.plain("user", "age", "tags", "item", "price")
    return fuse(o, o.mlp("first_mlp", e), o.mlp("second_mlp", e), 1)


FORMULAS = [finalmlp, finalmlp_ungated]
