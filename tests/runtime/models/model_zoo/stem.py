"""STEM."""

from model_zoo.configs import ALL, TASKS
from model_zoo.oracle import concat, softmax

TEXTS = {
    "stem": f"""{ALL} stem {{ expert_mlp {{ hidden_units: [8, 5] }} gate_mlp {{ hidden_units: 4 }}
        expert_num_per_task: 2 share_num: 1 {TASKS} }}""",
    "stem_unshared": f"{ALL} stem {{ expert_mlp {{ hidden_units: 8 }} share_num: 0 {TASKS} }}",
}
BAD = {
    "stem without experts": (
        f"{ALL} stem {{ expert_mlp {{}} expert_num_per_task: 0 {TASKS} }}",
        "model_config.stem: expert_num_per_task is 0; allowed: 1 or more",
    ),
}


def embedded(o, task):
    """The group `all`, from the tables of a task."""
    ids = {name: o.pooled(name, f"{name}_emb{task}", mean=name == "tags") for name in ("user", "tags", "item")}
    return concat(ids["user"], o.plain("age"), ids["tags"], ids["item"], o.plain("price"))


def mixed(o, counts, gate_of):
    inputs = [embedded(o, task) for task in ("_ctr", "_stars", "_value", "")[: len(counts)]]
    experts = [o.mlp(f"experts.{i}.{j}", x) for i, x in enumerate(inputs) for j in range(counts[i])]
    towers = []
    for task in range(3):
        weights = softmax(gate_of(f"gates.{task}", inputs[task]))
        towers.append(sum(weights[:, [i]] * expert for i, expert in enumerate(experts)))
    return o.task_towers(towers)


def stem(o):
    return mixed(o, (2, 2, 2, 1), lambda name, x: o.linear(f"{name}.1", o.mlp(f"{name}.0", x)))


def stem_unshared(o):
    return mixed(o, (1, 1, 1), o.linear)


FORMULAS = [stem, stem_unshared]
