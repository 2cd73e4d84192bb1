"""PEPNet."""

import numpy as np

from model_zoo.configs import ALL, TASKS
from model_zoo.oracle import binary, classes, concat, sigmoid

DOMAIN = 'feature_groups { group_name: "domain" feature_names: ["city"] group_type: DEEP }'
UIA = 'feature_groups { group_name: "uia" feature_names: ["user", "item"] group_type: DEEP }'
TEXTS = {
    "pepnet": f"""{ALL} {DOMAIN} {UIA} pepnet {{ epnet_hidden_unit: 5 epnet_gamma: 1.5 ppnet_hidden_units: [12, 8]
        ppnet_gamma: 3 ppnet_activation: "nn.LeakyReLU" domain_input_name: "stars" task_domain_num: 3 {TASKS} }}""",
    "pepnet_epnet": f"{ALL} {DOMAIN} pepnet {{ {TASKS} }}",
    "pepnet_ppnet": f"{ALL} {UIA} pepnet {{ ppnet_hidden_units: [9] {TASKS} }}",
}
BAD = {
    "pepnet group": (
        f"{DOMAIN} pepnet {{ {TASKS} }}",
        "model_config.pepnet needs a feature group 'all' of type DEEP",
    ),
    "pepnet units": (
        f"{ALL} {UIA} pepnet {{ {TASKS} }}",
        "model_config.pepnet: ppnet_hidden_units is []; feature group 'uia' needs layers of 1 unit or more",
    ),
    "pepnet dropout": (
        f"{ALL} {UIA} pepnet {{ ppnet_hidden_units: [9, 8, 7] ppnet_dropout_ratio: [0.1, 0.5] {TASKS} }}",
        "model_config.pepnet: ppnet_dropout_ratio is 0.1, 0.5; give none, one or 3 values for 3 ppnet_hidden_units",
    ),
    "pepnet domain": (
        f'{ALL} pepnet {{ domain_input_name: "cty" task_domain_num: 2 {TASKS} }}',
        "model_config.pepnet: domain_input_name 'cty' must be one of data_config.label_fields or a sparse feature "
        'without sequence; did you mean "city"?',
    ),
    "pepnet domain number": (
        f'{ALL} pepnet {{ domain_input_name: "city" task_domain_num: 0 {TASKS} }}',
        "model_config.pepnet: task_domain_num is 0; allowed: 1 or more",
    ),
    "pepnet domain name": (
        f"{ALL} pepnet {{ task_domain_num: 2 {TASKS} }}",
        "model_config.pepnet: task_domain_num is 2, but domain_input_name is not set",
    ),
}


def gate(o, name, x, gamma):
    return gamma * sigmoid(o.linear(f"{name}.output", np.maximum(o.linear(f"{name}.hidden", x), 0)))


def main_part(o):
    return o.plain("user", "age", "tags", "item", "price")


def towers(o, inputs, name):
    """Logits of the three tasks; `name` holds a place for the task."""
    hidden = [o.mlp(f"{name.format(0)}.mlp", inputs[0]), *inputs[1:]]
    return [o.linear(f"{name.format(i)}.output", x) for i, x in enumerate(hidden)]


def pepnet(o):
    main = main_part(o)
    main = main * gate(o, "epnet", concat(o.plain("city"), main), 1.5)
    assert o.p["epnet.hidden.bias"].shape == (5,)
    prior, inputs = concat(o.plain("user", "item"), main), []
    for task in range(3):
        x = main
        for layer in range(2):
            name = f"ppnet.{task}.{layer}"
            x = o.linear(f"{name}.linear", x)
            x = np.where(x > 0, x, 0.01 * x) * gate(o, f"{name}.gate", prior, 3)
        inputs.append(x)
    domains = [towers(o, inputs, f"task_towers.{{}}.{domain}") for domain in range(3)]
    found = {}
    for i, (ctr, _, _) in enumerate(domains):
        found |= binary(ctr, f"_ctr_{i}")
    for i, (_, stars, _) in enumerate(domains):
        found |= classes(stars, f"_stars_{i}")
    return found | {f"y_value_{i}": value[:, 0] for i, (_, _, value) in enumerate(domains)}


def pepnet_epnet(o):
    main = main_part(o)
    main = main * gate(o, "epnet", concat(o.plain("city"), main), 2)
    assert o.p["epnet.hidden.bias"].shape == (16,)
    return towers(o, [main] * 3, "task_towers.{}.0")


def pepnet_ppnet(o):
    main = main_part(o)
    prior = concat(o.plain("user", "item"), main)
    inputs = [
        np.maximum(o.linear(f"ppnet.{task}.0.linear", main), 0) * gate(o, f"ppnet.{task}.0.gate", prior, 2)
        for task in range(3)
    ]
    return towers(o, inputs, "task_towers.{}.0")


FORMULAS = [pepnet, pepnet_epnet, pepnet_ppnet]
