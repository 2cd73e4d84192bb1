"""kubernetes: runs a job on a cluster as a plain Job with numbered pods, or as what Volcano, JobSet or Kubeflow take.

TorchX's own needs Volcano. This one needs nothing to be installed in the cluster by default, keeps secrets out of job
specs, runs nothing as root, and tries again only what may go better the next time.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse, Scheduler, Stream
from torchx.specs import AppDef, AppDryRunInfo, runopts

from . import _kubernetes_logs as logs
from . import _kubernetes_options as options
from . import _kubernetes_view as view
from ._kubernetes_client import Refused, api, current_namespace
from ._kubernetes_kinds import KINDS
from ._kubernetes_pod import INSTANCE, MANAGED, ROLE, container_name
from ._kubernetes_request import CANCELLED, ON_CANCEL, KubernetesRequest, build_request
from ._local_jobs import FINISHED
from ._local_logs import Window
from ._plan import with_plan
from ._replicas import check_replica, matching
from ._words import SchedulerError, shortened

logger = logging.getLogger(__name__)


class KubernetesScheduler(Scheduler[Mapping[str, Any]]):
    """TorchX scheduler for Kubernetes; see the module's docstring."""

    def __init__(self, session_name: str) -> None:
        super().__init__("kubernetes", session_name)

    def _run_opts(self) -> runopts:
        return options.declare()

    def _validate(self, app: AppDef, scheduler: str, *_: object) -> None:
        """Everything is checked when the request is built, as it depends on the options."""

    def _submit_dryrun(self, app: AppDef, cfg: Mapping[str, Any]) -> AppDryRunInfo[KubernetesRequest]:
        namespace = options.namespace(cfg) or current_namespace()
        request = build_request(app, self.session_name, namespace, cfg)
        return AppDryRunInfo(request, with_plan(app, KubernetesRequest.describe))

    def schedule(self, dryrun_info: AppDryRunInfo[KubernetesRequest]) -> str:
        """Creates the job and what it needs; leaves nothing behind if that fails."""
        request = dryrun_info.request
        *helpers, main = request.objects
        made: list[str] = []
        try:
            for one in helpers:
                api().create(_path(one), one)
                made.append(f"{_path(one)}/{one['metadata']['name']}")
            found = api().create(_path(main), main)
            made.append(f"{_path(main)}/{request.name}")
            _check_understood(main, found)
            for path in made[:-1]:  # so that they go when the job goes, whoever deletes it
                api().patch(path, {"metadata": {"ownerReferences": [_owner(found)]}})
        except BaseException:
            for path in reversed(made):
                api().delete(path)
            raise
        return request.app_id

    def describe(self, app_id: str) -> DescribeAppResponse | None:
        """State, restarts, message and replicas of a job, or None if there is none."""
        known = _find(app_id)
        if known is None:
            return None
        kind, found = known
        namespace, name = _split(app_id)
        pods = api().get(_pods(namespace), labelSelector=f"{INSTANCE}={name}") or {"items": []}
        return view.describe(app_id, kind, found, pods["items"])

    def list(self, cfg: Mapping[str, Any] | None = None) -> list[ListAppResponse]:
        """All jobs of tzx in the cluster, or in the current namespace if more cannot be seen; newest last."""
        found: list[tuple[str, ListAppResponse]] = []
        for kind in KINDS:
            for one in _list(kind, options.namespace(cfg or {})):
                meta = one["metadata"]
                app_id = f"{meta['namespace']}:{meta['name']}"
                found.append((meta.get("creationTimestamp") or "", view.listed(app_id, kind, one)))
        return [response for _, response in sorted(found, key=lambda pair: pair[0])]

    def _cancel_existing(self, app_id: str) -> None:
        known = _find(app_id)
        if known is None or view.state(*known) in FINISHED:
            return
        kind, found = known
        if (found["metadata"].get("annotations") or {}).get(ON_CANCEL) == "suspend":
            _suspend(kind, found)
        else:
            self._delete_existing(app_id)

    def _delete_existing(self, app_id: str) -> None:
        known = _find(app_id)
        if known is not None:
            api().delete(_path(known[1], known[0]))

    def log_iter(
        self,
        app_id: str,
        role_name: str,
        k: int = 0,
        regex: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        should_tail: bool = False,
        streams: Stream | None = None,
    ) -> Iterable[str]:
        """Lines of one replica; see Scheduler.log_iter."""
        if streams not in (None, Stream.COMBINED):
            raise SchedulerError("Kubernetes keeps both streams of a pod as one: leave --streams out")
        known = _find(app_id)
        if known is None:
            raise SchedulerError(f"no job {shortened(app_id)}; `torchx list -s kubernetes` names those that are there")
        kind, found = known
        check_replica(app_id, view.role_sizes(found), role_name, k)
        namespace, name = _split(app_id)
        replica = logs.Replica(
            api=api(),
            pods=_pods(namespace),
            selector=f"{INSTANCE}={name},{ROLE}={container_name(role_name)}",
            mine=lambda pod: view.number(kind, pod) == k,
            over=lambda: _over(app_id),
        )
        lines = logs.read(replica, Window(since, until, should_tail))
        return matching(regex, lines)


def create_scheduler(session_name: str, **_: object) -> KubernetesScheduler:
    """The factory that the entry point names."""
    return KubernetesScheduler(session_name)


def _split(app_id: str) -> tuple[str, str]:
    namespace, _, name = app_id.partition(":")
    try:
        return options.name(namespace, "namespace"), options.name(name, "job")
    except SchedulerError:
        raise SchedulerError(
            f"{shortened(app_id)} is no job; a handle is kubernetes://SESSION/NAMESPACE:NAME"
        ) from None


def _find(app_id: str) -> tuple[str, dict[str, Any]] | None:
    """The kind of a job of tzx and what the cluster knows of it."""
    namespace, name = _split(app_id)
    for kind, facts in KINDS.items():
        try:
            found = api().get(f"/apis/{facts.api}/namespaces/{namespace}/{facts.plural}/{name}")
        except Refused as error:
            if error.status == 403 and kind != "job":  # an account need not see what it does not use
                continue
            raise
        if found is not None and (found["metadata"].get("labels") or {}).get(MANAGED) == "tzx":
            return kind, found
    return None


def _list(kind: str, namespace: str) -> list[dict[str, Any]]:
    facts = KINDS[kind]
    selector = f"{MANAGED}=tzx"
    for place in [f"namespaces/{namespace}/"] if namespace else ["", f"namespaces/{current_namespace()}/"]:
        try:
            return list((api().get(f"/apis/{facts.api}/{place}{facts.plural}", labelSelector=selector) or {})["items"])
        except KeyError:
            return []
        except Refused as error:
            refused = error
            if error.status != 403:
                raise
    if kind == "job":
        raise refused
    return []


def _over(app_id: str) -> bool:
    known = _find(app_id)
    return known is None or view.state(*known) in FINISHED


def _path(body: dict[str, Any], kind: str = "") -> str:
    """Where objects like this are made; with a kind of job, where this very one is."""
    namespace, api_version = body["metadata"]["namespace"], body.get("apiVersion", "")
    if kind:
        facts = KINDS[kind]
        return f"/apis/{facts.api}/namespaces/{namespace}/{facts.plural}/{body['metadata']['name']}"
    root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
    return f"{root}/namespaces/{namespace}/{body['kind'].lower()}s"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _check_understood(asked: dict[str, Any], made: dict[str, Any]) -> None:
    """A server drops fields that it is too old to know."""
    numbered = asked["spec"].get("completionMode"), made["spec"].get("completionMode")
    if numbered[0] != numbered[1] and asked["spec"]["completions"] > 1:
        raise SchedulerError("several replicas need Kubernetes 1.24 or newer, or kind=volcano")


def _owner(found: dict[str, Any]) -> dict[str, Any]:
    meta = found["metadata"]
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "name": meta["name"], "uid": meta["uid"]}


def _suspend(kind: str, found: dict[str, Any]) -> None:
    """Ends the pods and keeps the object, with a note of why."""
    note: dict[str, Any] = {"metadata": {"annotations": {CANCELLED: str(int(time.time()))}}}
    if kind == "volcano":
        namespace = found["metadata"]["namespace"]
        target = {**_owner({**found, "apiVersion": KINDS[kind].api, "kind": "Job"}), "controller": True}
        api().create(
            f"/apis/bus.volcano.sh/v1alpha1/namespaces/{namespace}/commands",
            {
                "apiVersion": "bus.volcano.sh/v1alpha1",
                "kind": "Command",
                "metadata": {"name": f"{found['metadata']['name']}-abort", "ownerReferences": [target]},
                "action": "AbortJob",
                "target": target,
            },
        )
    elif kind == "pytorchjob":
        note["spec"] = {"runPolicy": {"suspend": True}}
    else:
        note["spec"] = {"suspend": True}
    api().patch(_path(found, kind), note)
