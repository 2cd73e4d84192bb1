"""From the parameters of a component to the AppDef that a scheduler runs."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ParamSpec

from torchx import specs

from tzx.launch.config_check import check_config, check_user_module
from tzx.launch.names import job_name
from tzx.launch.overrides import split_overrides
from tzx.launch.resources import Demand, resource, threads_per_process
from tzx.launch.secrets import hide_in_words, hide_secrets
from tzx.launch.stages import Stage
from tzx.launch.topology import Topology, parse_topology
from tzx.runtime.errors import TzxError, UserError

P = ParamSpec("P")
_DEBUG_ENV = {"TORCH_DISTRIBUTED_DEBUG": "DETAIL", "TORCH_SHOW_CPP_STACKTRACES": "1"}


@dataclass(frozen=True)
class Job:
    """Where and how often a component's app is to run."""

    j: str = "1x1"
    demand: Demand = field(default_factory=Demand)
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[str] = ()
    image: str = ""
    name: str = ""
    max_retries: int = 0
    max_restarts: int = 0
    debug: bool = False


@dataclass(frozen=True)
class App:
    """An entry file and what its job is called; values of None are flags that were not given."""

    module: str
    role: str
    flags: Mapping[str, str | int | bool | None]
    sets: str | None = None
    rest: Sequence[str] = ()

    def given(self) -> dict[str, str]:
        """The flags with a value, as text."""
        return {k: str(v) for k, v in self.flags.items() if v is not None and not isinstance(v, bool)}

    def argv(self, debug: bool) -> list[str]:
        """The app's command line."""
        switches = [f"--{name}" for name, value in self.flags.items() if value is True]
        sets = [word for override in split_overrides(self.sets) for word in ("--set", override)]
        pairs = [word for name, value in self.given().items() for word in (f"--{name}", value)]
        return [*pairs, *switches, *sets, *(["--debug"] if debug else []), *self.rest]


def user_errors(component: Callable[P, specs.AppDef]) -> Callable[P, specs.AppDef]:
    """Lets a component end `torchx run` with a message and an exit code instead of a traceback."""

    @functools.wraps(component)
    def checked(*args: P.args, **kwargs: P.kwargs) -> specs.AppDef:
        try:
            return component(*args, **kwargs)
        except TzxError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from error

    return checked


def app_def(app: App, job: Job) -> specs.AppDef:
    """One role that runs the app; everything that can be found wrong now is."""
    topology = parse_topology(job.j)
    given = app.given()
    _check(app, job)
    verb = app.module.rpartition(".")[2]
    name = job_name(verb, job.name, given.get("config") or next(iter(given.values()), None))
    return specs.AppDef(name, [_role(app.role, _python_args(app, job, topology), job)])


def pipeline_def(apps: Sequence[App], alone: Sequence[str], record: str, job: Job) -> specs.AppDef:
    """One role whose nodes run several apps one after the other.

    Args:
        apps: in order; the first has the config.
        alone: roles of the apps that are one process, on the first node.
        record: file that remembers which apps are done.
        job: where and how often.
    """
    topology = parse_topology(job.j)
    if topology.is_elastic:
        raise UserError(f"-j {job.j}: the number of nodes of a pipeline is fixed; give NODESxPROCESSES")
    stages = []
    for app in apps:
        _check(app, job)
        first_only = app.role in alone
        argv = _python_args(app, job, parse_topology("1x1") if first_only else topology)
        stages.append(Stage(app.module.rpartition(".")[2], tuple(argv), first_only))
    words = [word for stage in stages for word in ("--stage", stage.flag())]
    name = job_name("pipeline", job.name, apps[0].given().get("config"))
    return specs.AppDef(name, [_role("pipeline", ["-m", "tzx.apps.pipeline", *words, "--record", record], job)])


def chosen_stages(apps: Sequence[App], names: str, scored: Mapping[str, str | None]) -> list[App]:
    """The apps that were asked for, in their own order; predict only if it is said what to score."""
    known = {app.module.rpartition(".")[2]: app for app in apps}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None or not wanted:
        raise UserError(f"--stages {names}: {unknown or 'nothing'} is none of {', '.join(known)}")
    missing = [name for name, value in scored.items() if not value]
    if len(missing) == 1:
        raise UserError(f"--{missing[0]} is missing: to predict, both {' and '.join(f'--{name}' for name in scored)}")
    if missing and wanted == ["predict"]:
        raise UserError(f"--stages predict: needs {' and '.join(f'--{name}' for name in scored)}")
    return [app for name, app in known.items() if name in wanted and not (name == "predict" and missing)]


def tool_def(name: str, argv: Sequence[str], ports: Mapping[str, int], job: Job) -> specs.AppDef:
    """One role that runs a Python module which is not an app of tzx, and may listen at ports."""
    role = replace(_role(name, list(argv), job), port_map=dict(ports))
    return specs.AppDef(job_name(name, job.name, None), [role])


def _check(app: App, job: Job) -> None:
    given = app.given()
    if "config" in given:
        elsewhere = bool(job.image or job.mounts)
        check_config(given["config"], given, split_overrides(app.sets), elsewhere)
        check_user_module(given.get("user_module"), elsewhere)
    if app.rest and not app.rest[0].startswith("-"):
        raise UserError(f"unexpected {app.rest[0]!r}: values are given as --name value, flags of the app after --")


def _role(name: str, args: list[str], job: Job) -> specs.Role:
    topology = parse_topology(job.j)
    found = resource(job.demand, topology)
    return specs.Role(
        name=name,
        image=job.image,
        entrypoint="python",
        args=hide_in_words(args),
        env=_environment(job, threads_per_process(job.demand, found, topology)),
        num_replicas=topology.nodes,
        min_replicas=topology.min_nodes if topology.is_elastic else None,
        max_retries=job.max_retries,
        resource=found,
        mounts=_mounts(job.mounts),
    )


def _python_args(app: App, job: Job, topology: Topology) -> list[str]:
    """One process runs the app itself: torchrun would import torch a second time for nothing."""
    own = ["-m", app.module, *app.argv(job.debug)]
    if topology.is_single and job.max_restarts == 0:
        return own
    launcher = ["--nnodes", topology.nnodes, "--nproc_per_node", str(topology.processes)]
    return ["-m", "tzx.apps.torchrun", *launcher, "--max_restarts", str(job.max_restarts), *own]


def _environment(job: Job, threads: int | None) -> dict[str, str]:
    env = {"TZX_RANK0_ENV": specs.macros.rank0_env}
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    if job.debug:
        env.update(_DEBUG_ENV)
    return hide_secrets({**env, **job.env})


def _mounts(mounts: Sequence[str]) -> list[specs.BindMount | specs.VolumeMount | specs.DeviceMount]:
    try:
        return specs.parse_mounts(list(mounts))
    except (KeyError, ValueError) as error:
        raise UserError(f"--mounts {','.join(mounts)}: {error.args[0]}") from None
