"""DCNV1."""

from model_zoo.configs import ALL, BCE
from model_zoo.oracle import concat

TEXTS = {
    "dcn_v1": f"""{ALL} dcn_v1 {{ cross {{ cross_num: 4 }} deep {{ hidden_units: [8, 5] }}
        final {{ hidden_units: 16 }} }} {BCE}""",
}
BAD = {
    "dcn_v1 without layers": (
        f"{ALL} dcn_v1 {{ cross {{ cross_num: 0 }} deep {{}} final {{}} }} {BCE}",
        "model_config.dcn_v1: cross: cross_num is 0; allowed: 1 or more",
    ),
    "dcn_v1 of a sequence": (
        'feature_groups { group_name: "seq" feature_names: ["seen"] group_type: SEQUENCE } '
        f"dcn_v1 {{ cross {{}} deep {{}} final {{}} }} {BCE}",
        "feature group 'seq' is of group_type SEQUENCE, but model_config.dcn_v1 needs DEEP there",
    ),
}


def dcn_v1(o):
    first = x = o.plain("user", "age", "tags", "item", "price")
    for w, b in zip(o.p["cross.weight"], o.p["cross.bias"], strict=True):
        x = first * (x * w).sum(1, keepdims=True) + b + x
    return o.mlp("final", concat(x, o.mlp("deep", first))) @ o.p["output.weight"].T


FORMULAS = [dcn_v1]
