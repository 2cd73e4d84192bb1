"""The first six models."""

import numpy as np

from model_zoo.configs import ALL, BCE, CE3, DEEP, DENSE, FM, MIXED, SEQ, SPARSE, TASKS, TWO, WIDE
from model_zoo.oracle import fm, softmax

TEXTS = {
    "deepfm": f"{WIDE} {DEEP} deepfm {{ deep {{ hidden_units: [8, 5] }} final {{ hidden_units: 6 }} }} {BCE}",
    "deepfm_sum": f"{WIDE} {MIXED} {FM} deepfm {{ deep {{ hidden_units: 8 }} wide_embedding_dim: 3 }} {CE3}",
    "wide_and_deep": f"{WIDE} {MIXED} wide_and_deep {{ deep {{ hidden_units: 8 }} final {{ hidden_units: 6 }} }} {BCE}",
    "wide_and_deep_sum": f"{WIDE} {MIXED} wide_and_deep {{ deep {{ hidden_units: [8, 4] }} }} {BCE}",
    "multi_tower": f"""{TWO} multi_tower {{ towers {{ input: "user" mlp {{ hidden_units: [7] }} }}
        towers {{ input: "item" }} final {{ hidden_units: 6 }} }} {BCE}""",
    "multi_tower_din": f"""{TWO} {SEQ} multi_tower_din {{ towers {{ input: "user" mlp {{ hidden_units: [7] }} }}
        towers {{ input: "item" }} din_towers {{ input: "seq" attn_mlp {{ hidden_units: [5, 3] }} }}
        final {{ hidden_units: 6 }} }} {BCE}""",
    "dlrm": f"""{SPARSE} {DENSE} dlrm {{ dense_mlp {{ hidden_units: [6, 4] }} final {{ hidden_units: 6 }} }} {BCE}""",
    "dlrm_plain": f"""feature_groups {{ group_name: "only" feature_names: ["tags", "user", "item"] group_type: DEEP }}
        dlrm {{ arch_with_sparse: false final {{ hidden_units: 6 }} }} {BCE}""",
    "mmoe": f"""{ALL} mmoe {{ expert_mlp {{ hidden_units: [8, 5] }} gate_mlp {{ hidden_units: 4 }} num_expert: 2
        {TASKS} }}""",
    "mmoe_plain": f"{ALL} mmoe {{ expert_mlp {{ hidden_units: 8 }} {TASKS} }}",
}


def deepfm(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    deep = o.mlp("deep", o.plain("user", "item", "tags"))
    pairs = fm(o.vectors("user", "item", "tags"))
    return o.linear("output", o.mlp("final", np.concatenate([wide, pairs, deep], axis=1)))


def deepfm_sum(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    deep = o.mlp("deep", o.plain("user", "city", "age", "price"))
    return wide + fm(o.vectors("user", "item", "tags")).sum(1, keepdims=True) + o.linear("output", deep)


def wide_and_deep(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    deep = o.mlp("deep", o.plain("user", "city", "age", "price"))
    return o.linear("output", o.mlp("final", np.concatenate([wide, deep], axis=1)))


def wide_and_deep_sum(o):
    wide = o.plain("user", "item", "tags", "city", wide=True).sum(1, keepdims=True)
    return wide + o.linear("output", o.mlp("deep", o.plain("user", "city", "age", "price")))


def multi_tower(o, *more):
    towers = [o.mlp("towers.0", o.plain("user", "city", "age")), o.plain("item", "tags"), *more]
    return o.linear("output", o.mlp("final", np.concatenate(towers, axis=1)))


def multi_tower_din(o):
    return multi_tower(o, o.din("din_towers.0", o.plain("item"), o.sequence()))


def dlrm(o):
    dense = o.mlp("dense_mlp", o.plain("age", "price"))
    x = np.concatenate([dense[:, None], o.vectors("user", "item", "tags")], axis=1)
    dots = np.stack([(x[:, i] * x[:, j]).sum(1) for i in range(4) for j in range(i + 1, 4)], axis=1)
    return o.linear("output", o.mlp("final", np.concatenate([dots, dense, o.plain("user", "item", "tags")], axis=1)))


def dlrm_plain(o):
    x = o.vectors("tags", "user", "item")
    dots = np.stack([(x[:, i] * x[:, j]).sum(1) for i, j in [(0, 1), (0, 2), (1, 2)]], axis=1)
    return o.linear("output", o.mlp("final", dots))


def mmoe(o, num_expert=2, gate_mlp=True):
    x = o.plain("user", "age", "tags", "item", "price")
    experts = np.stack([o.mlp(f"mmoe.experts.{e}", x) for e in range(num_expert)], axis=1)
    inputs = []
    for task in range(3):
        gate = f"mmoe.gates.{task}"
        scores = o.linear(f"{gate}.1", o.mlp(f"{gate}.0", x)) if gate_mlp else o.linear(gate, x)
        inputs.append((softmax(scores)[:, :, None] * experts).sum(1))
    return o.task_towers(inputs)


def mmoe_plain(o):
    return mmoe(o, num_expert=3, gate_mlp=False)


FORMULAS = [
    deepfm, deepfm_sum, wide_and_deep, wide_and_deep_sum, multi_tower, multi_tower_din, dlrm, dlrm_plain,
    mmoe, mmoe_plain,
]  # fmt: skip
BAD: dict[str, tuple[str, str]] = {}
