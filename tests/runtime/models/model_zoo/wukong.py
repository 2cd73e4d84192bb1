"""WuKong."""

import numpy as np

from model_zoo.configs import BCE, DENSE, SPARSE
from model_zoo.oracle import concat

LAYER = "wukong_layers { lcb_feature_num: 2 fmb_feature_num: 3 compressed_feature_num: 2 feature_num_mlp "
TEXTS = {
    "wukong": f"""{SPARSE} {DENSE} wukong {{ dense_mlp {{ hidden_units: [6, 4] }}
        {LAYER} {{ hidden_units: 6 }} }} {LAYER} {{ hidden_units: [7, 5] }} }} final {{ hidden_units: 6 }} }} {BCE}""",
    "wukong_plain": f"{SPARSE} wukong {{ {LAYER} {{ hidden_units: 6 }} }} final {{ hidden_units: 6 }} }} {BCE}",
}
BAD = {
    "wukong without layers": (
        f"{SPARSE} wukong {{ final {{}} }} {BCE}",
        "model_config.wukong: wukong_layers is empty; add at least one",
    ),
    "wukong layer": (
        f"{SPARSE} wukong {{ {LAYER} {{}} }} wukong_layers {{ lcb_feature_num: 1 fmb_feature_num: 0 "
        f"feature_num_mlp {{}} }} final {{}} }} {BCE}",
        "model_config.wukong: wukong_layers[1]: fmb_feature_num is 0; allowed: 1 or more",
    ),
    "wukong unequal dims": (
        'feature_groups { group_name: "g" feature_names: ["user", "item", "city"] group_type: DEEP } '
        f"wukong {{ {LAYER} {{}} }} final {{}} }} {BCE}",
        "features of group 'g' must all have the same embedding_dim",
    ),
    "wukong without dense_mlp": (
        f"{SPARSE} {DENSE} wukong {{ {LAYER} {{}} }} final {{}} }} {BCE}",
        "model_config.wukong: dense_mlp is missing; feature group 'dense' needs one ending with 4 units",
    ),
}


def layer(o, name, x):
    compressed = np.einsum("bfd,cf->bdc", x, o.p[f"{name}.compress.weight"])
    fm = np.einsum("bfd,bdc->bfc", x, compressed).reshape(len(x), -1)
    made = o.linear(f"{name}.fm_output", o.mlp(f"{name}.fm_mlp", o.layer_norm(f"{name}.fm_norm", fm)))
    combined = np.einsum("bfd,of->bod", x, o.p[f"{name}.combine.weight"])
    residual = o.p.get(f"{name}.residual.weight")
    kept = x if residual is None else np.einsum("bfd,of->bod", x, residual)
    return o.layer_norm(f"{name}.norm", concat(made.reshape(len(x), 3, -1), combined) + kept)


def wukong(o):
    dense = o.mlp("dense_mlp", o.plain("age", "price"))
    x = concat(dense[:, None], o.vectors("user", "item", "tags"))
    assert "layers.0.residual.weight" in o.p and "layers.1.residual.weight" not in o.p
    x = layer(o, "layers.1", layer(o, "layers.0", x))
    return o.linear("output", o.mlp("final", x.reshape(len(x), -1)))


def wukong_plain(o):
    x = layer(o, "layers.0", o.vectors("user", "item", "tags"))
    return o.linear("output", o.mlp("final", x.reshape(len(x), -1)))


FORMULAS = [wukong, wukong_plain]
