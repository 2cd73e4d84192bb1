"""From the parameters of a component to the AppDef that a scheduler runs."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec

from torchx import specs

from tzx.launch.config_check import check_config
from tzx.launch.names import job_name
from tzx.launch.overrides import split_overrides
from tzx.launch.resources import Demand, resource, threads_per_process
from tzx.launch.secrets import hide_secrets
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
    if "config" in given:
        check_config(given["config"], given, split_overrides(app.sets), elsewhere=bool(job.image or job.mounts))
    if app.rest and not app.rest[0].startswith("-"):
        raise UserError(f"unexpected {app.rest[0]!r}: values are given as --name value, flags of the app after --")
    found = resource(job.demand, topology)
    role = specs.Role(
        name=app.role,
        image=job.image,
        entrypoint="python",
        args=_python_args(app, job, topology),
        env=_environment(job, threads_per_process(job.demand, found, topology)),
        num_replicas=topology.nodes,
        min_replicas=topology.min_nodes if topology.is_elastic else None,
        max_retries=job.max_retries,
        resource=found,
        mounts=_mounts(job.mounts),
    )
    verb = app.module.rpartition(".")[2]
    return specs.AppDef(job_name(verb, job.name, given.get("config") or next(iter(given.values()), None)), [role])


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
