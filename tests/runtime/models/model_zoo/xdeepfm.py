"""xDeepFM."""

import numpy as np

from model_zoo.configs import BCE, DEEP, MIXED, WIDE
from model_zoo.oracle import concat

TEXTS = {
    "xdeepfm": f"""{WIDE} {MIXED} xdeepfm {{ cin {{ cin_layer_size: [3, 2] }} deep {{ hidden_units: [8, 5] }}
        final {{ hidden_units: 12 }} wide_embedding_dim: 3 }} {BCE}""",
    "xdeepfm_one_layer": f"""{WIDE} {DEEP} xdeepfm {{ cin {{ cin_layer_size: 4 }} deep {{ hidden_units: 8 }}
        final {{ hidden_units: 6 }} }} {BCE}""",
}
BAD = {
    "xdeepfm without cin layers": (
        f"{WIDE} {DEEP} xdeepfm {{ cin {{}} deep {{}} final {{}} }} {BCE}",
        "model_config.xdeepfm: cin: cin_layer_size is []; give the number of maps of each layer, 1 or more",
    ),
    "xdeepfm number in wide": (
        'feature_groups { group_name: "wide" feature_names: ["user", "item", "age"] group_type: WIDE } '
        f"{DEEP} xdeepfm {{ cin {{ cin_layer_size: 2 }} deep {{}} final {{}} }} {BCE}",
        "feature group 'wide': dense feature 'age' cannot be in a WIDE group",
    ),
}


def cin(o, sizes, width):
    first = o.plain("user", "item", "tags", "city", wide=True).reshape(-1, 4, width)
    maps, pooled = first, []
    for k, size in enumerate(sizes):
        weight, bias = o.p[f"cin.layers.{k}.weight"], o.p[f"cin.layers.{k}.bias"]
        weight = weight.reshape(size, maps.shape[1], 4)
        out = np.zeros((len(first), size, width))
        for h in range(size):
            for i in range(maps.shape[1]):
                for j in range(4):
                    out[:, h] += weight[h, i, j] * maps[:, i] * first[:, j]
            out[:, h] += bias[h]
        maps = out
        pooled.append(out.sum(2))
    return concat(*pooled)


def xdeepfm(o):
    deep = o.mlp("deep", o.plain("user", "city", "age", "price"))
    return o.linear("output", o.mlp("final", concat(cin(o, [3, 2], 3), deep)))


def xdeepfm_one_layer(o):
    deep = o.mlp("deep", o.plain("user", "item", "tags"))
    return o.linear("output", o.mlp("final", concat(cin(o, [4], 16), deep)))


FORMULAS = [xdeepfm, xdeepfm_one_layer]
