"""DCNV2."""

from model_zoo.configs import ALL, BCE, CE3
from model_zoo.oracle import concat

TEXTS = {
    "dcn_v2": f"""{ALL} dcn_v2 {{ backbone {{ hidden_units: [9, 7] }} cross {{ cross_num: 2 low_rank: 3 }}
        deep {{ hidden_units: [8, 5] }} final {{ hidden_units: 6 }} }} {BCE}""",
    "dcn_v2_full_rank": f"{ALL} dcn_v2 {{ cross {{ low_rank: 0 }} deep {{ hidden_units: 5 }} final {{}} }} {BCE}",
    "dcn_v2_cross_only": f"{ALL} dcn_v2 {{ cross {{ low_rank: 4 }} final {{ hidden_units: 6 }} }} {CE3}",
}
BAD = {
    "dcn_v2 without layers": (
        f"{ALL} dcn_v2 {{ cross {{ cross_num: 0 }} final {{}} }} {BCE}",
        "model_config.dcn_v2: cross: cross_num is 0; allowed: 1 or more",
    ),
}


def cross(o, first, layers):
    x = first
    for i in range(layers):
        matrix, bias = o.p[f"cross.up.{i}.weight"], o.p[f"cross.up.{i}.bias"]
        if f"cross.down.{i}.weight" in o.p:
            matrix = matrix @ o.p[f"cross.down.{i}.weight"]
        x = first * (x @ matrix.T + bias) + x
    return x


def dcn_v2(o):
    x = o.plain("user", "age", "tags", "item", "price")
    joined = concat(cross(o, o.mlp("backbone", x), 2), o.mlp("deep", x))
    return o.mlp("final", joined) @ o.p["output.weight"].T


def dcn_v2_full_rank(o):
    x = o.plain("user", "age", "tags", "item", "price")
    return concat(cross(o, x, 3), o.mlp("deep", x)) @ o.p["output.weight"].T


def dcn_v2_cross_only(o):
    return o.mlp("final", cross(o, o.plain("user", "age", "tags", "item", "price"), 3)) @ o.p["output.weight"].T


FORMULAS = [dcn_v2, dcn_v2_full_rank, dcn_v2_cross_only]
