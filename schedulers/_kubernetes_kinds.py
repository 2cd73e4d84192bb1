"""What the cluster is asked for: one main object of one of four kinds, and the Service and Secret it needs.

job         batch/v1 Job with numbered pods, and a headless Service; nothing has to be installed
jobset      JobSet: several roles, restarted as a whole
volcano     Volcano's Job: several roles, all pods placed at once, elastic
pytorchjob  Kubeflow's PyTorchJob: one role, elastic
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torchx.specs import Role

from ._kubernetes_pod import INSTANCE, Job, Place, container_name, template
from ._words import SchedulerError
from .contract import NEVER_RETRIED

KUEUE = "kueue.x-k8s.io/queue-name"
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_FAILURES = "metadata.annotations['batch.kubernetes.io/job-index-failure-count']"


@dataclass(frozen=True)
class Kind:
    """How a kind of job is made, found and read."""

    api: str
    plural: str
    build: Callable[[list[tuple[str, Role]], Job], dict[str, Any]]
    index_label: str  # label or annotation of a pod that has the number of its replica
    own_service: bool = False
    several_roles: bool = False
    elastic: bool = False


def objects(roles: Sequence[Role], job: Job, annotations: dict[str, str]) -> list[dict[str, Any]]:
    """The Service if there is one, and the main object last."""
    kind = KINDS[job.options.kind]
    named = _named(roles)
    _check(named, kind, job)
    main = kind.build(named, job)
    queue = {KUEUE: job.options.queue} if job.options.queue and job.options.kind != "volcano" else {}
    meta = {"name": job.name, "labels": {**job.labels, **queue}, "annotations": annotations}
    main = {"apiVersion": kind.api, "kind": main.pop("kind"), "metadata": meta, **main}
    return [*([_service(job)] if kind.own_service else []), main]


def _named(roles: Sequence[Role]) -> list[tuple[str, Role]]:
    named = [(container_name(role.name), role) for role in roles]
    names = [name for name, _ in named]
    if not names or len(set(names)) != len(names):
        raise SchedulerError(f"roles must be there and have different names, got {', '.join(names) or 'none'}")
    return named


def _check(named: list[tuple[str, Role]], kind: Kind, job: Job) -> None:
    chosen = job.options.kind
    if len(named) > 1 and not kind.several_roles:
        names = ", ".join(role.name for _, role in named)
        raise SchedulerError(f"kind={chosen} runs one role, this job has {names}; use kind=jobset or kind=volcano")
    for _, role in named:
        least = role.min_replicas
        if role.num_replicas < 1 or (least is not None and not 1 <= least <= role.num_replicas):
            raise SchedulerError(f"role {role.name}: {least or role.num_replicas} to {role.num_replicas} replicas")
        if least is not None and least < role.num_replicas and not kind.elastic:
            raise SchedulerError(
                f"role {role.name}: kind={chosen} starts all {role.num_replicas} replicas; "
                f"{least} to {role.num_replicas} are possible with kind=volcano or kind=pytorchjob"
            )


def _service(job: Job) -> dict[str, Any]:
    """Names for pods, also before they are ready."""
    selector = {INSTANCE: job.name}
    if job.options.kind == "pytorchjob":  # its pods have no names of their own: this is the name of the first
        label = "training.kubeflow.org/"
        selector = {f"{label}job-name": job.name, f"{label}replica-type": "worker", f"{label}replica-index": "0"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": job.name, "labels": dict(job.labels)},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector},
    }


# ---- one role


def _job(named: list[tuple[str, Role]], job: Job) -> dict[str, Any]:
    name, role = named[0]
    place = Place(f"{job.name}-0.{job.name}", _INDEX, _FAILURES, name)
    pod = template(role, name, job, place)
    pod["spec"]["subdomain"] = job.name
    retries = role.max_retries
    spec = _job_spec(role, pod, {"backoffLimitPerIndex": retries, "maxFailedIndexes": 0})
    # An older cluster that cannot count for each replica counts for all together.
    return {"kind": "Job", "spec": {**spec, "backoffLimit": retries * role.num_replicas, **_life(job)}}


def _job_spec(role: Role, pod: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]["name"]
    final = {"containerName": container, "operator": "In", "values": sorted(NEVER_RETRIED)}
    return {
        "completionMode": "Indexed",
        "completions": role.num_replicas,
        "parallelism": role.num_replicas,
        **more,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": final},
                # A drained node or a preemption is not the job's fault.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": pod,
    }


def _pytorchjob(named: list[tuple[str, Role]], job: Job) -> dict[str, Any]:
    name, role = named[0]
    index = "metadata.labels['training.kubeflow.org/replica-index']"
    pod = template(role, name, job, Place(job.name, index, "", "pytorch"))
    del pod["spec"]["restartPolicy"]  # the operator's own is beside the template
    # ExitCode: what is killed by a signal (128 and more, so 143 too) is started again, everything else is final.
    worker = {"replicas": role.num_replicas, "restartPolicy": "ExitCode" if role.max_retries else "Never"}
    policy: dict[str, Any] = {"cleanPodPolicy": "None", "backoffLimit": role.max_retries, **_life(job)}
    policy["schedulingPolicy"] = {"minAvailable": role.min_replicas or role.num_replicas}
    spec: dict[str, Any] = {"runPolicy": policy, "pytorchReplicaSpecs": {"Worker": {**worker, "template": pod}}}
    if role.min_replicas:
        spec["elasticPolicy"] = {
            "minReplicas": role.min_replicas,
            "maxReplicas": role.num_replicas,
            "rdzvBackend": "c10d",
        }
    return {"kind": "PyTorchJob", "spec": spec}


# ---- several roles


def _jobset(named: list[tuple[str, Role]], job: Job) -> dict[str, Any]:
    restarts = "metadata.labels['jobset.sigs.k8s.io/restart-attempt']"
    replicated = []
    for name, role in named:
        place = Place(f"{job.name}-{name}-0-0.{job.name}", _INDEX, restarts, name)
        inner = _job_spec(role, template(role, name, job, place), {"backoffLimit": 0})
        made = {"metadata": {"labels": dict(job.labels)}, "spec": inner}
        replicated.append({"name": name, "replicas": 1, "template": made})
    final = {"name": "final", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    spec = {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "failurePolicy": {"maxRestarts": max(role.max_retries for _, role in named), "rules": [final]},
        "replicatedJobs": replicated,
        **_life(job),
    }
    return {"kind": "JobSet", "spec": spec}


def _volcano(named: list[tuple[str, Role]], job: Job) -> dict[str, Any]:
    index = "metadata.annotations['volcano.sh/task-index']"
    restarts = "metadata.annotations['volcano.sh/job-retry-count']"
    tasks = []
    for name, role in named:
        pod = template(role, name, job, Place(f"{job.name}-{name}-0.{job.name}", index, restarts, name))
        least = role.min_replicas or role.num_replicas
        tasks.append({"name": name, "replicas": role.num_replicas, "minAvailable": least, "template": pod})
    retries = max(role.max_retries for _, role in named)
    again = "RestartJob" if retries else "TerminateJob"
    spec: dict[str, Any] = {
        "schedulerName": "volcano",
        "minAvailable": sum(role.min_replicas or role.num_replicas for _, role in named),
        "maxRetry": retries + 1,  # it counts starts, and takes 0 for 3
        "plugins": {"svc": ["--publish-not-ready-addresses=true"]},
        "policies": [
            *({"exitCode": code, "action": "TerminateJob"} for code in sorted(NEVER_RETRIED)),
            {"event": "PodEvicted", "action": "RestartJob"},
            {"event": "PodFailed", "action": again},
        ],
        "tasks": tasks,
        **_life(job),
    }
    for key, value in {"queue": job.options.queue, "priorityClassName": job.options.priority_class}.items():
        spec.update({key: value} if value else {})
    return {"kind": "Job", "spec": spec}


def _life(job: Job) -> dict[str, Any]:
    """How long the record is kept, and who lets it start."""
    options = job.options
    kept = {"ttlSecondsAfterFinished": options.ttl_seconds} if options.ttl_seconds >= 0 else {}
    return {**kept, **({"suspend": True} if options.queue and options.kind != "volcano" else {})}


_COMPLETION = "batch.kubernetes.io/job-completion-index"
KINDS = {
    "job": Kind("batch/v1", "jobs", _job, _COMPLETION, own_service=True),
    "volcano": Kind(
        "batch.volcano.sh/v1alpha1", "jobs", _volcano, "volcano.sh/task-index", several_roles=True, elastic=True
    ),
    "jobset": Kind("jobset.x-k8s.io/v1alpha2", "jobsets", _jobset, _COMPLETION, several_roles=True),
    "pytorchjob": Kind(
        "kubeflow.org/v1",
        "pytorchjobs",
        _pytorchjob,
        "training.kubeflow.org/replica-index",
        own_service=True,
        elastic=True,
    ),
}
