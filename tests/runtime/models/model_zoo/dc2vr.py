"""DC2VR."""

import numpy as np

from model_zoo.configs import ALL
from model_zoo.oracle import binary, classes, concat, softmax

BCE = "losses { binary_cross_entropy {} } metrics { auc {} }"
CTR = f'task_towers {{ tower_name: "ctr" label_name: "click" {BCE} mlp {{ hidden_units: [6] }} }}'


def buy(rank=2, names='"ctr"', more=""):
    return f"""task_towers {{ tower_name: "buy" {BCE} mlp {{ hidden_units: 5 }} intervention_tower_names: {names}
        low_rank_dim: {rank} {more} }}"""


BOTH = '["ctr", "buy"]'
STARS = """task_towers { tower_name: "stars" label_name: "stars" num_class: 3 losses { softmax_cross_entropy {} }
    metrics { accuracy {} } mlp { hidden_units: [20] } intervention_tower_names: ["ctr", "buy"] low_rank_dim: 13
    dropout_ratio: 0 }"""
TEXTS = {
    "dc2vr": f"""{ALL} dc2vr {{ bottom_mlp {{ hidden_units: [12] }} expert_mlp {{ hidden_units: 9 }} num_expert: 2
        {CTR} {buy(more="dropout_ratio: 0")} {STARS} }}""",
    "dc2vr_plain": f"{ALL} dc2vr {{ {CTR} {buy(more='dropout_ratio: 0')} {STARS} }}",
}
BAD = {
    "dc2vr rank": (
        f"{ALL} dc2vr {{ {CTR} {buy(rank=5)} }}",
        "task_towers[1] (buy): low_rank_dim is 5; it must be at least 1 and below the tower's width 5",
    ),
    "dc2vr dropout": (
        f"{ALL} dc2vr {{ {CTR} {buy(more='dropout_ratio: 1')} }}",
        "model_config.dc2vr: task_towers[1] (buy): dropout_ratio 1 is not in [0, 1)",
    ),
    "dc2vr itself": (
        f"{ALL} dc2vr {{ {CTR} {buy(names=BOTH)} }}",
        "task_towers[1] (buy).intervention_tower_names: 'buy' must be declared before the tower that builds on it",
    ),
}


def orthonormal(weight, wide):
    """Gram-Schmidt on the columns, one after the other; the transposed matrix when there are more columns than rows."""
    columns = []
    for column in weight.T:
        for earlier in columns:
            column = column - (column @ earlier) * earlier
        columns.append(column / np.linalg.norm(column))
    return np.stack(columns, axis=0 if wide else 1)


def intervene(o, name, base, source, wide=False):
    turn = orthonormal(o.p[f"{name}.base.weight"], False)
    turn_source = orthonormal(o.p[f"{name}.source.weight"], wide)
    return (base @ turn - source @ turn_source) @ turn.T + base


def heads(o, inputs):
    ctr = o.mlp("mlps.0", inputs[0])
    buy = intervene(o, "interventions.1", o.mlp("mlps.1", inputs[1]), ctr)
    stars = intervene(o, "interventions.2", o.mlp("mlps.2", inputs[2]), concat(ctr, buy), wide=True)  # 11 to 13
    logits = [o.linear(f"outputs.{i}", x) for i, x in enumerate((ctr, buy, stars))]
    return binary(logits[0], "_ctr") | binary(logits[1], "_buy") | classes(logits[2], "_stars")


def dc2vr(o):
    x = o.mlp("bottom.mlp", o.plain("user", "age", "tags", "item", "price"))
    experts = [o.mlp(f"bottom.mmoe.experts.{i}", x) for i in range(2)]
    weights = [softmax(o.linear(f"bottom.mmoe.gates.{task}", x)) for task in range(3)]
    return heads(o, [w[:, [0]] * experts[0] + w[:, [1]] * experts[1] for w in weights])


def dc2vr_plain(o):
    return heads(o, [o.plain("user", "age", "tags", "item", "price")] * 3)


FORMULAS = [dc2vr, dc2vr_plain]
