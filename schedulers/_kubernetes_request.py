"""From an AppDef to the objects that will be created, and how they are shown."""

import getpass
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from torchx.schedulers.ids import make_unique
from torchx.specs import AppDef

from . import _kubernetes_kinds as kinds
from . import _kubernetes_options as options
from ._kubernetes_files import config_map, read_files
from ._kubernetes_pod import INSTANCE, MANAGED, Job, secret_values
from ._words import SchedulerError, plain

APP, SESSION, USER, ON_CANCEL, CANCELLED, ROLES = (
    f"tzx/{word}" for word in ("app", "session", "user", "on-cancel", "cancelled", "roles")
)
_LARGEST = 1_000_000  # bytes; the store of a cluster takes one and a half million


@dataclass(frozen=True, repr=False)
class KubernetesRequest:
    """What will be created, in this order."""

    namespace: str
    name: str
    kind: str
    objects: list[dict[str, Any]]

    @property
    def app_id(self) -> str:
        """What the handle ends with."""
        return f"{self.namespace}:{self.name}"

    def describe(self) -> str:
        """As YAML for people, and for `kubectl apply` but for the values of secrets."""
        shown = [_masked(made) for made in self.objects]
        return yaml.safe_dump_all(shown, sort_keys=False, width=120)

    def __repr__(self) -> str:
        return self.describe()


def build_request(app: AppDef, session: str, namespace: str, cfg: Mapping[str, Any]) -> KubernetesRequest:
    """Everything but the submission.

    Args:
        app: with its roles.
        session: name of the TorchX session.
        namespace: where it will be.
        cfg: resolved options.
    """
    chosen = options.parse(cfg)
    if chosen.on_cancel == "suspend" and chosen.queue and chosen.kind != "volcano":
        raise SchedulerError("on_cancel=suspend: Kueue would start the job again; leave on_cancel or queue out")
    name = make_unique(short_name(app.name))
    labels = {
        **chosen.labels,
        MANAGED: "tzx",
        "app.kubernetes.io/name": short_name(app.name),
        INSTANCE: name,
    }
    handle = f"kubernetes://{plain(session, 'session')}/{namespace}:{name}"
    job = Job(name, handle, labels, chosen)
    annotations = {
        APP: plain(app.name, "name"),
        SESSION: session,
        USER: _user(),
        ON_CANCEL: chosen.on_cancel,
        ROLES: json.dumps({role.name: role.num_replicas for role in app.roles}),
    }
    made = kinds.objects(app.roles, job, annotations)
    if chosen.files:
        made.insert(0, config_map(job.config_map, job.labels, read_files(chosen.files)))
    values = secret_values(app.roles)
    if values:
        made.insert(0, _secret(job, values))
    for one in made:
        one["metadata"]["namespace"] = namespace
    size = len(json.dumps(made))
    if size > _LARGEST:
        raise SchedulerError(f"{app.name}: the job is described in {size:,} bytes, {_LARGEST:,} are allowed")
    return KubernetesRequest(namespace, name, chosen.kind, made)


def short_name(text: str) -> str:
    """An application's name reduced to what leaves room for a random word, a role and a number in a host name."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].rstrip("-")
    return label if label and label[0].isalpha() else f"job-{label}".rstrip("-")[:24]


def _secret(job: Job, values: Mapping[str, str]) -> dict[str, Any]:
    meta = {"name": job.secret, "labels": dict(job.labels)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "immutable": True, "stringData": dict(values)}


def _masked(made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "stringData": dict.fromkeys(made["stringData"], "***")} if "stringData" in made else made


def _user() -> str:
    try:
        return re.sub(r"[^\w.@-]", "-", getpass.getuser())
    except (KeyError, OSError):  # a user id without a name
        return "unknown"
