"""PLE."""

from model_zoo.configs import ALL, TASKS
from model_zoo.oracle import softmax


def network(name, own, shared, own_units, shared_units):
    shared_net = f"share_num: {shared} share_expert_net {{ hidden_units: {shared_units} }}" if shared else ""
    return (
        f'extraction_networks {{ network_name: "{name}" expert_num_per_task: {own} '
        f"task_expert_net {{ hidden_units: {own_units} }} {shared_net} }}"
    )


TEXTS = {
    "ple": f"{ALL} ple {{ {network('a', 2, 1, [7, 6], [6])} {network('b', 1, 2, [5], [8, 5])} {TASKS} }}",
    "ple_unshared": f"{ALL} ple {{ {network('a', 2, 1, [6], [6])} {network('b', 2, 0, [5], [])} {TASKS} }}",
}
BAD = {
    "ple without layers": (
        f"{ALL} ple {{ {TASKS} }}",
        "model_config.ple: extraction_networks is empty; add at least one",
    ),
    "ple widths": (
        f"{ALL} ple {{ {network('first', 2, 1, [7, 6], [7])} {TASKS} }}",
        "extraction_networks[0] (first): task_expert_net ends with 6 units and share_expert_net with 7",
    ),
    "ple without experts": (
        f"{ALL} ple {{ {network('a', 1, 1, [6], [6])} {network('b', 0, 0, [6], [])} {TASKS} }}",
        "extraction_networks[1] (b): expert_num_per_task and share_num are both 0",
    ),
    "ple without shared net": (
        f'{ALL} ple {{ extraction_networks {{ network_name: "a" expert_num_per_task: 1 task_expert_net {{}} '
        f"share_num: 2 }} {TASKS} }}",
        "extraction_networks[0] (a): share_num is 2, but share_expert_net is missing",
    ),
}


def mix(scores, experts):
    weights = softmax(scores)
    assert weights.shape[1] == len(experts)
    return sum(weights[:, [i]] * expert for i, expert in enumerate(experts))


def layer(o, name, tasks, shared, own, common):
    shared_experts = [o.mlp(f"{name}.shared_experts.{e}", shared) for e in range(common)]
    task_experts = [[o.mlp(f"{name}.task_experts.{t}.{e}", x) for e in range(own)] for t, x in enumerate(tasks)]
    outputs = [mix(o.linear(f"{name}.gates.{t}", x), task_experts[t] + shared_experts) for t, x in enumerate(tasks)]
    if f"{name}.shared_gate.weight" not in o.p:
        return outputs, None
    everyone = task_experts[0] + task_experts[1] + task_experts[2] + shared_experts
    return outputs, mix(o.linear(f"{name}.shared_gate", shared), everyone)


def ple(o):
    x = o.plain("user", "age", "tags", "item", "price")
    tasks, shared = layer(o, "layers.0", [x, x, x], x, 2, 1)
    tasks, nothing = layer(o, "layers.1", tasks, shared, 1, 2)
    assert shared is not None and nothing is None
    return o.task_towers(tasks)


def ple_unshared(o):
    x = o.plain("user", "age", "tags", "item", "price")
    tasks, shared = layer(o, "layers.0", [x, x, x], x, 2, 1)
    assert shared is None
    return o.task_towers(layer(o, "layers.1", tasks, None, 2, 0)[0])


FORMULAS = [ple, ple_unshared]
