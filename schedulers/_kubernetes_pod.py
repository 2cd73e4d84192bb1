"""From a role to the pod that runs one of its replicas.

Arguments and variables arrive byte for byte: Kubernetes gives `$(NAME)` and `$$` a meaning, so every dollar sign of the
user is doubled. A variable whose name tells of a secret goes into a Secret of the job; the pod has a reference to it.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchx.specs import Resource, Role, macros

from ._kubernetes_files import FOLDER, seen_as
from ._kubernetes_options import CLOUDS, Options
from ._kubernetes_volumes import reference, volumes
from ._words import SchedulerError, plain, shortened
from .contract import LOCAL_ADDR, MASTER_ADDR, MASTER_PORT, REPLICA, RESTARTS, RUN, derive_port, is_secret, reveals

INSTANCE, ROLE, MANAGED = "app.kubernetes.io/instance", "tzx/role", "app.kubernetes.io/managed-by"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Place:
    """What differs between kinds of jobs, as a replica sees it."""

    master: str  # address of rank 0
    index: str  # field of the pod that has the number of the replica
    restarts: str  # field that has the number of restarts; empty if there is none
    container: str  # name of the container


@dataclass(frozen=True)
class Job:
    """A job's name and what is said about all its parts."""

    name: str
    handle: str
    labels: Mapping[str, str]
    options: Options

    @property
    def config_map(self) -> str:
        """Name of the ConfigMap that holds files sent with this job."""
        return f"{self.name}-files"

    @property
    def secret(self) -> str:
        """Name of the Secret that holds variables of this job."""
        return f"{self.name}-env"


def template(role: Role, name: str, job: Job, place: Place) -> dict[str, Any]:
    """The pod template of a role."""
    made, seen = volumes(role, job.options)
    if job.options.files:
        made.append({"name": "files", "configMap": {"name": job.config_map}})
        seen.append({"name": "files", "mountPath": FOLDER, "readOnly": True})
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.options.grace_seconds,
        "automountServiceAccountToken": bool(job.options.service_account),
        "enableServiceLinks": False,
        "securityContext": _pod_security(job.options),
        "containers": [{**_container(role, job, place), "volumeMounts": seen}],
        "volumes": made,
        **_scheduling(role.resource, job.options),
    }
    return {"metadata": {"labels": {**job.labels, ROLE: name}}, "spec": spec}


def secret_values(roles: list[Role]) -> dict[str, str]:
    """Values of variables that no pod should show."""
    found: dict[str, str] = {}
    for role in roles:
        for variable, value in role.env.items():
            if _is_value(variable, value):
                if found.get(variable, value) != value:
                    raise SchedulerError(f"env: {variable} has two values; one job has one for all its roles")
                found[variable] = str.__str__(value)
    return found


def container_name(role: str) -> str:
    """A role's name as Kubernetes allows it."""
    text = re.sub(r"[^a-z0-9]+", "-", role.lower()).strip("-")[:15].strip("-")
    return text if text and text[0].isalpha() else f"r-{text}".rstrip("-")[:15]


def _container(role: Role, job: Job, place: Place) -> dict[str, Any]:
    image = role.image or job.options.image
    if not image:
        raise SchedulerError(f"role {role.name}: no image; give the component --image, or set -cfg image=...")
    mark = f"@{secrets.token_hex(12)}@"
    ready = macros.Values(img_root="", app_id=job.name, replica_id=mark, rank0_env=MASTER_ADDR).apply(role)
    args = seen_as(ready.args, job.options.files)
    words = [_literal(word, "arguments", mark) for word in [ready.entrypoint, *args]]
    secret = next((word for word in [ready.entrypoint, *ready.args] if reveals(word)), None)
    if secret is not None:
        raise SchedulerError(
            f"role {role.name}: an argument holds a password or key, which all who may look at the job would see; "
            f"pass it as --env NAME=secret://SECRET/KEY"
        )
    env = [*_contract(role, job, place), *_environment(ready.env, job, mark)]
    policy = {"imagePullPolicy": job.options.image_pull_policy} if job.options.image_pull_policy else {}
    ports = [{"name": port[:15], "containerPort": number} for port, number in role.port_map.items()]
    return {
        "name": place.container,
        "image": plain(image, "image"),
        **policy,
        "command": words[:1],
        "args": words[1:],
        "env": env,
        **({"ports": ports} if ports else {}),
        "resources": _resources(role.resource, job.options),
        # Where the error of an app is left for `torchx status`; without one, the last lines of the log are taken.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _contract(role: Role, job: Job, place: Place) -> list[dict[str, Any]]:
    # A cluster too old to number pods can still run a single one.
    numbered = _field(REPLICA, place.index) if role.num_replicas > 1 else {"name": REPLICA, "value": "0"}
    counted = _field(RESTARTS, place.restarts) if place.restarts else {"name": RESTARTS, "value": "0"}
    plain_ones = {
        MASTER_ADDR: place.master,
        MASTER_PORT: str(derive_port(job.name)),
        RUN: job.name,
        "TORCHX_RANK0_HOST": place.master,  # what TorchX's own components read
        "TORCHX_JOB_ID": job.handle,
        "TORCHELASTIC_ERROR_FILE": "/dev/termination-log",
        "PYTHONUNBUFFERED": "1",
    }
    fields = [numbered, counted, _field(LOCAL_ADDR, "status.podIP")]
    return [*fields, *({"name": variable, "value": value} for variable, value in plain_ones.items())]


def _field(variable: str, path: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _environment(env: Mapping[str, str], job: Job, mark: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for variable, value in env.items():
        if not _VARIABLE.fullmatch(variable):
            raise SchedulerError(f"env: {shortened(variable)} is no name of an environment variable")
        if variable == "TORCHX_JOB_ID":  # the runner's has no namespace in it
            continue
        if value.startswith("secret://"):
            source, key = reference(value, f"env {variable}")
            found.append(_from_secret(variable, source, key))
        elif _is_value(variable, value):
            _literal(value, f"env {variable}", mark)
            found.append(_from_secret(variable, job.secret, variable))
        elif reveals(value):
            raise SchedulerError(f"env: the value of {variable} holds a password or key; use secret://SECRET/KEY")
        else:
            found.append({"name": variable, "value": _literal(value, f"env {variable}", mark)})
    return found


def _is_value(variable: str, value: str) -> bool:
    return is_secret(variable) and not value.startswith("secret://")


def _from_secret(variable: str, source: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": source, "key": key}}}


def _literal(text: str, what: str, mark: str) -> str:
    """A word that the container gets as it is here, but for the number of the replica, which is filled in."""
    bad = next((char for char in text if char == "\0" or "\ud800" <= char <= "\udfff"), None)
    if bad is not None:
        raise SchedulerError(f"{what}: {shortened(text)} contains U+{ord(bad):04X}, which no container can be given")
    return str.__str__(text).replace("$", "$$").replace(mark, f"$({REPLICA})")


def _resources(resource: Resource, options: Options) -> dict[str, Any]:
    limits: dict[str, str] = {}
    if resource.cpu > 0:
        limits["cpu"] = f"{resource.cpu:g}"
    if resource.memMB > 0:
        limits["memory"] = f"{int(resource.memMB)}M"
    if resource.gpu > 0:
        limits[options.gpu_resource] = str(int(resource.gpu))
    limits.update({device: str(number) for device, number in resource.devices.items() if "/" in device})
    return {"limits": limits, "requests": dict(limits)} if limits else {}


def _scheduling(resource: Resource, options: Options) -> dict[str, Any]:
    selector = dict(options.node_selector)
    machine = resource.capabilities.get(CLOUDS[options.cloud]) if options.cloud else None
    machine = machine or resource.capabilities.get("node.kubernetes.io/instance-type")
    if machine:
        selector.setdefault("node.kubernetes.io/instance-type", str(machine))
    secret = options.image_pull_secret
    found: dict[str, Any] = {
        "nodeSelector": selector,
        "tolerations": [dict(toleration) for toleration in options.tolerations],
        "serviceAccountName": options.service_account,
        "priorityClassName": options.priority_class,
        "imagePullSecrets": [{"name": secret}] if secret else [],
    }
    return {key: value for key, value in found.items() if value}


def _pod_security(options: Options) -> dict[str, Any]:
    user = options.run_as_user
    own = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user} if user else {"runAsUser": 0}
    # Volumes become the user's own; looking at every file of a large one each time would take long.
    group = {"fsGroup": user, "fsGroupChangePolicy": "OnRootMismatch"} if user else {}
    return {**own, **group, "seccompProfile": {"type": "RuntimeDefault"}}
