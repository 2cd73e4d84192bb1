"""What a dry run says beside the request: how many processes, with how much memory, and where the tables would go.

The tables come from `tzx.apps.plan`, in a process of its own: it needs torch and some seconds, which nobody should pay
who submits a job.
"""

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from torchx.specs import AppDef, Role

from .contract import hidden

T = TypeVar("T")
_SECONDS = 300


def with_plan(app: AppDef, describe: Callable[[T], str], here: bool = False) -> Callable[[T], str]:
    """What shows a request, with the plan of its job after it; nothing is computed until somebody looks.

    Args:
        app: the job.
        describe: what shows the request.
        here: whether the job runs on this machine, whatever memory it asks for.
    """
    return lambda request: "\n".join(
        [describe(request).rstrip(), "", "=== PLAN ===", *(_plan(r, here) for r in app.roles)]
    )


def _plan(role: Role, here: bool) -> str:
    asked = role.resource
    nodes = role.num_replicas if role.min_replicas is None else f"{role.min_replicas} to {role.num_replicas}"
    training = _training(role.args)
    processes = _processes(role.args if training is None else training)
    shape = f"{role.name}: {nodes} node(s) x {processes} process(es)"
    text = f"{shape}; each node: {asked.cpu} cores, {asked.gpu} GPUs, {asked.memMB} MB"
    if training is None:
        return text
    return f"{text}\n{_tables(training, role, processes, here)}"


def _training(args: Sequence[str]) -> list[str] | None:
    """The command line that trains: the role's own, or that of a stage."""
    stage = next((word for word in args if word.startswith("train=") and "tzx.apps.pipeline" in args), None)
    words = list(args) if stage is None else shlex.split(stage.partition("=")[2])
    return words if "tzx.apps.train" in words else None


def _processes(words: Sequence[str]) -> int:
    found = _values(words, "--nproc_per_node")
    return int(found[0]) if found and found[0].isdigit() else 1


def _tables(words: Sequence[str], role: Role, processes: int, here: bool) -> str:
    """The output of the plan app, or one line that says why there is none."""
    configs, modules = _values(words, "--config", "--pipeline_config_path"), _values(words, "--user_module")
    plans = _values(words, "--plan")
    files = [*configs, *(name for name in modules if name.endswith(".py")), *plans]
    unseen = next((path for path in files if not Path(path).is_file()), "" if configs else "its config")
    if unseen:
        return f"tables: not shown, as {unseen} cannot be read here"
    if importlib.util.find_spec("torch") is None:
        return "tables: not shown, as torch is not installed here"
    flags = [f"--config={configs[-1]}", *(f"--user_module={name}" for name in modules)]
    for name in ("--set", "--edit_config_json"):
        flags += [f"{name}={value}" for value in _values(words, name)]
    flags += [f"--set=train_config.sharding_planner.plan_file={path}" for path in plans]
    flags += [f"--world-size={role.num_replicas * processes}", f"--local-world-size={processes}"]
    flags += [f"--device={'gpu' if role.resource.gpu > 0 else 'cpu'}"]
    flags += [f"--host-memory-gib={role.resource.memMB / 1024}"] if role.resource.memMB > 0 and not here else []
    return _output([sys.executable, "-m", "tzx.apps.plan", *flags])


def _values(words: Sequence[str], *names: str) -> list[str]:
    """What a command line gives for a flag, as `--name value` or `--name=value`."""
    found: list[str] = []
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            found += [value] if equals else words[index + 1 : index + 2]
    return found


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"tables: not shown, as planning them takes more than {_SECONDS} s"
    if done.returncode == 0:
        return hidden(done.stdout.strip("\n"))
    return hidden(f"tables: no plan: {done.stderr.strip().removeprefix('error: ')}")
