"""SimpleMultiTask."""

from model_zoo.configs import ALL, TASKS

TEXTS = {"simple_multi_task": f"{ALL} simple_multi_task {{ {TASKS} }}"}
BAD = {
    "simple_multi_task without towers": (
        f"{ALL} simple_multi_task {{}}",
        "model_config.simple_multi_task.task_towers is empty; a multi-task model needs at least one tower",
    ),
}


def simple_multi_task(o):
    return o.task_towers([o.plain("user", "age", "tags", "item", "price")] * 3)


FORMULAS = [simple_multi_task]
