"""FiBiNET."""

import numpy as np

from model_zoo.configs import BCE, CE3, DENSE, SPARSE, WIDE
from model_zoo.oracle import concat

TEXTS = {
    "fibinet": f"""{SPARSE} {DENSE} {WIDE} fibinet {{ dense_mlp {{ hidden_units: [6, 4] }} reduction_ratio: 2
        deep {{ hidden_units: [8, 5] }} wide_embedding_dim: 3 }} {BCE}""",
    "fibinet_each": f'{SPARSE} fibinet {{ bilinear_type: "each" reduction_ratio: 1 deep {{ hidden_units: 8 }} }} {BCE}',
    "fibinet_all": f'{SPARSE} fibinet {{ bilinear_type: "all" reduction_ratio: 1 deep {{ hidden_units: 8 }} }} {CE3}',
}
BAD = {
    "fibinet type": (
        f'{SPARSE} fibinet {{ bilinear_type: "eech" deep {{}} }} {BCE}',
        "model_config.fibinet: bilinear_type is 'eech'; allowed: all, each, interaction; did you mean \"each\"?",
    ),
    "fibinet reduction": (
        f"{SPARSE} fibinet {{ reduction_ratio: 0 deep {{}} }} {BCE}",
        "model_config.fibinet: reduction_ratio is 0; allowed: 1 or more",
    ),
    "fibinet one feature": (
        f'feature_groups {{ group_name: "g" feature_names: "user" group_type: DEEP }} fibinet {{ deep {{}} }} {BCE}',
        "model_config.fibinet: feature group 'g' has one feature: no pair to interact",
    ),
}


def products(o, x, matrix_of):
    pairs = [(i, j) for i in range(x.shape[1]) for j in range(i + 1, x.shape[1])]
    weight = o.p["bilinear.weight"]
    return concat(*(x[:, i] @ weight[matrix_of(n, i)] * x[:, j] for n, (i, j) in enumerate(pairs)))


def deep(o, x, matrix_of):
    squeezed = np.maximum(x.mean(2) @ o.p["importance.squeeze.weight"].T, 0)
    weights = np.maximum(squeezed @ o.p["importance.excite.weight"].T, 0)
    both = concat(products(o, x, matrix_of), products(o, x * weights[:, :, None], matrix_of))
    return o.linear("output", o.mlp("deep", both))


def fibinet(o):
    dense = o.mlp("dense_mlp", o.plain("age", "price"))
    x = concat(dense[:, None], o.vectors("user", "item", "tags"))
    assert o.p["bilinear.weight"].shape == (6, 4, 4) and o.p["importance.squeeze.weight"].shape == (2, 4)
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    return deep(o, x, lambda pair, i: pair) + wide


def fibinet_each(o):
    return deep(o, o.vectors("user", "item", "tags"), lambda pair, i: i)


def fibinet_all(o):
    return deep(o, o.vectors("user", "item", "tags"), lambda pair, i: 0)


FORMULAS = [fibinet, fibinet_each, fibinet_all]
