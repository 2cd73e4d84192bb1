"""DIEN outside training, where it has no auxiliary loss."""

import numpy as np

from model_zoo.bst import REST, head
from model_zoo.configs import BCE, SEQ, TWO
from model_zoo.oracle import sigmoid, softmax

TEXTS = {
    "dien": f'{TWO} {SEQ} dien {{ {REST} dien_towers {{ input: "seq" max_seq_length: 3 }} }} {BCE}',
    "dien_oldest_first": f"""{TWO} {SEQ} dien {{ {REST} dien_towers {{ input: "seq" max_seq_length: 4
        newest_first: false auxiliary_weight: 0 }} }} {BCE}""",
}
BAD = {
    "dien length": (
        f'{TWO} {SEQ} dien {{ {REST} dien_towers {{ input: "seq" max_seq_length: 0 }} }} {BCE}',
        "model_config.dien: dien_towers: feature group 'seq': max_seq_length is 0; allowed: 1 or more",
    ),
}


def gru(o, name, xs):
    w, u = o.p[f"{name}.weight_ih_l0"], o.p[f"{name}.weight_hh_l0"]
    b, c = o.p[f"{name}.bias_ih_l0"], o.p[f"{name}.bias_hh_l0"]
    h, states = np.zeros(u.shape[1]), []
    for x in xs:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(w @ x + b, 3), np.split(u @ h + c, 3)
        z, n = sigmoid(x_z + h_z), np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
        h = (1 - z) * n + z * h
        states.append(h)
    return states


def augru(o, name, xs, attention):
    h = np.zeros(o.p[f"{name}.state.weight"].shape[1])
    for x, a in zip(xs, attention, strict=True):
        (x_r, x_u, x_n), (h_r, h_u, h_n) = (
            np.split(o.linear(f"{name}.{m}", v), 3) for m, v in (("input", x), ("state", h))
        )
        u = a * sigmoid(x_u + h_u)
        h = (1 - u) * h + u * np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
    return h


def evolved(o, name, elements):
    out = np.zeros((len(elements), 6))
    for i, (q, xs) in enumerate(zip(o.plain("item"), elements, strict=True)):
        if len(xs):
            states = gru(o, f"{name}.gru", xs)
            scores = np.array([h @ o.p[f"{name}.attention.weight"] @ q for h in states])
            out[i] = augru(o, f"{name}.augru", states, softmax(scores))
    return out


def dien(o):
    return head(o, evolved(o, "dien_towers.0", [keys[:3][::-1] for keys in o.sequence()]))


def dien_oldest_first(o):
    return head(o, evolved(o, "dien_towers.0", [keys[-4:] for keys in o.sequence()]))


FORMULAS = [dien, dien_oldest_first]
