"""DBMTL."""

from model_zoo.configs import ALL
from model_zoo.oracle import binary, classes, concat, softmax

BCE = "losses { binary_cross_entropy {} } metrics { auc {} }"
CTR = f'task_towers {{ tower_name: "ctr" label_name: "click" {BCE} mlp {{ hidden_units: [6] }} }}'
STARS = """task_towers { tower_name: "stars" label_name: "stars" num_class: 3 losses { softmax_cross_entropy {} }
    metrics { accuracy {} } mlp { hidden_units: [5] } relation_tower_names: ["ctr", "buy"]
    relation_mlp { hidden_units: [9, 8] } }"""
BUY = f"""task_towers {{ tower_name: "buy" {BCE} relation_tower_names: "ctr" relation_mlp {{ hidden_units: 8 }} }}"""
TEXTS = {
    # The tower `buy` names no label and comes second, so it takes the second of label_fields.
    "dbmtl": f"""{ALL} dbmtl {{ mask_net {{ n_mask_blocks: 2 mask_block {{ hidden_dim: 8 }} }}
        bottom_mlp {{ hidden_units: [12] }} expert_mlp {{ hidden_units: 7 }} num_expert: 2
        gate_mlp {{ hidden_units: 4 }} {CTR} {BUY} {STARS} }}""",
    "dbmtl_plain": f"{ALL} dbmtl {{ {CTR} {BUY} {STARS} }}",
}
BAD = {
    "dbmtl unknown tower": (
        f'{ALL} dbmtl {{ {CTR} task_towers {{ tower_name: "b" relation_tower_names: "ctx" {BCE} }} }}',
        "model_config.dbmtl: task_towers[1] (b).relation_tower_names: no tower is called 'ctx'; did you mean \"ctr\"?",
    ),
    "dbmtl later tower": (
        f'{ALL} dbmtl {{ task_towers {{ tower_name: "b" relation_tower_names: "ctr" {BCE} }} {CTR} }}',
        "task_towers[0] (b).relation_tower_names: 'ctr' must be declared before the tower that builds on it",
    ),
    "dbmtl without experts": (
        f"{ALL} dbmtl {{ expert_mlp {{ hidden_units: 4 }} num_expert: 0 {CTR} }}",
        "model_config.dbmtl: num_expert is 0; allowed: 1 or more",
    ),
    "dbmtl labels": (
        f"{ALL} dbmtl {{ {CTR} {CTR.replace('ctr', 'a')} {CTR.replace('ctr', 'b')} "
        f'task_towers {{ tower_name: "c" {BCE} }} }}',
        "task_towers[3] (c).label_name: '' is not in data_config.label_fields",
    ),
}


def mask_block(o, name, x, e):
    mask = o.linear(f"{name}.mask.2", (h := o.linear(f"{name}.mask.0", e)) * (h > 0))
    out = o.layer_norm(f"{name}.norm", o.linear(f"{name}.hidden", mask * x))
    return out * (out > 0)


def heads(o, inputs):
    ctr = o.mlp("mlps.0", inputs[0])
    buy = o.mlp("relation_mlps.1", concat(inputs[1], ctr))
    stars = o.mlp("relation_mlps.2", concat(o.mlp("mlps.2", inputs[2]), ctr, buy))
    logits = [o.linear(f"outputs.{i}", x) for i, x in enumerate((ctr, buy, stars))]
    return binary(logits[0], "_ctr") | binary(logits[1], "_buy") | classes(logits[2], "_stars")


def dbmtl(o):
    e = o.plain("user", "age", "tags", "item", "price")
    x = o.layer_norm("bottom.mask_net.norm", e)
    x = concat(*(mask_block(o, f"bottom.mask_net.blocks.{i}", x, e) for i in range(2)))
    x = o.mlp("bottom.mlp", x)
    experts = [o.mlp(f"bottom.mmoe.experts.{i}", x) for i in range(2)]
    inputs = []
    for task in range(3):
        gate = f"bottom.mmoe.gates.{task}"
        weights = softmax(o.linear(f"{gate}.1", o.mlp(f"{gate}.0", x)))
        inputs.append(weights[:, [0]] * experts[0] + weights[:, [1]] * experts[1])
    return heads(o, inputs)


def dbmtl_plain(o):
    return heads(o, [o.plain("user", "age", "tags", "item", "price")] * 3)


FORMULAS = [dbmtl, dbmtl_plain]
