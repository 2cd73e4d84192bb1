"""GDCN."""

from model_zoo.configs import ALL, BCE, CE3
from model_zoo.oracle import concat, sigmoid

TEXTS = {
    "gdcn": f"{ALL} gdcn {{ cross {{ cross_num: 2 }} deep {{ hidden_units: [8, 5] }} }} {BCE}",
    "gdcn_stacked": f'{ALL} gdcn {{ cross {{}} deep {{ hidden_units: 8 }} structure: "stacked" }} {CE3}',
}
BAD = {
    "gdcn structure": (
        f'{ALL} gdcn {{ cross {{}} deep {{}} structure: "paralel" }} {BCE}',
        "model_config.gdcn: structure is 'paralel'; allowed: parallel and stacked; did you mean \"parallel\"?",
    ),
    "gdcn without layers": (
        f"{ALL} gdcn {{ cross {{ cross_num: 0 }} deep {{}} }} {BCE}",
        "model_config.gdcn: cross: cross_num is 0; allowed: 1 or more",
    ),
}


def crossed(o, layers):
    first = x = o.plain("user", "age", "tags", "item", "price")
    for i in range(layers):
        x = first * o.linear(f"cross.crosses.{i}", x) * sigmoid(x @ o.p[f"cross.gates.{i}.weight"].T) + x
    return first, x


def gdcn(o):
    first, x = crossed(o, 2)
    return o.linear("output", concat(x, o.mlp("deep", first)))


def gdcn_stacked(o):
    return o.linear("output", o.mlp("deep", crossed(o, 3)[1]))


FORMULAS = [gdcn, gdcn_stacked]
