"""RocketLaunching outside training, where the light network is alone."""

from model_zoo.configs import ALL, BCE
from model_zoo.oracle import binary

LAYERS = "light_mlp { hidden_units: [16, 12] } booster_mlp { hidden_units: [20, 12, 16] }"
TEXTS = {
    "rocket_launching": f"""{ALL} rocket_launching {{ share_mlp {{ hidden_units: [20] }} {LAYERS}
        feature_based_distillation: true }} {BCE}""",
    "rocket_launching_unshared": f"{ALL} rocket_launching {{ {LAYERS} }} {BCE}",
}
BAD = {
    "rocket_launching function": (
        f"{ALL} rocket_launching {{ {LAYERS} feature_based_distillation: true "
        f"feature_distillation_function: INNER_PRODUCT }} {BCE}",
        "model_config.rocket_launching: feature_distillation_function is INNER_PRODUCT; allowed: COSINE and EUCLID",
    ),
}


def rocket_launching(o):
    shared = o.mlp("share_mlp", o.plain("user", "age", "tags", "item", "price"))
    return binary(o.linear("light_output", o.mlp("light_mlp", shared)), "_light")


def rocket_launching_unshared(o):
    x = o.plain("user", "age", "tags", "item", "price")
    return binary(o.linear("light_output", o.mlp("light_mlp", x)), "_light")


FORMULAS = [rocket_launching, rocket_launching_unshared]
