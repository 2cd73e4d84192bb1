"""What the objects of the kubernetes scheduler may hold, by kinds that no package has a schema of.

Written by hand after the definitions that the projects install: Volcano's batch.volcano.sh/v1alpha1 and
bus.volcano.sh/v1alpha1 (main at 0318bf61, compared field by field), JobSet's jobset.x-k8s.io/v1alpha2 (main at
01078527) and the training operator's kubeflow.org/v1 (1.9.3), which is also checked against the models of its client.
Exactly the fields that tzx writes, all others refused; actions and reasons, any text there, are those that the
controllers know. Pod templates and inner jobs are left to the schemas of Kubernetes itself.
"""

from typing import Any

TEMPLATE: dict[str, Any] = {"type": "object", "required": ["metadata", "spec"]}
NUMBER = {"type": "integer", "minimum": 0}
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"}
META = {
    "type": "object",
    "required": ["name", "namespace", "labels", "annotations"],
    "properties": {
        "name": NAME,
        "namespace": NAME,
        "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "additionalProperties": False,
}


def strict(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def whole(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of this kind."""
    return strict(
        "apiVersion kind metadata spec", apiVersion={"const": api}, kind={"const": kind}, metadata=META, spec=spec
    )


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


ACTIONS = {"enum": ["AbortJob", "RestartJob", "RestartTask", "TerminateJob", "CompleteJob"]}
EVENTS = {
    "enum": ["*", "PodPending", "PodRunning", "PodFailed", "PodEvicted", "Unknown", "TaskCompleted", "TaskFailed"]
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "volcano": whole(
        "batch.volcano.sh/v1alpha1",
        "Job",
        strict(
            "minAvailable tasks",
            schedulerName={"const": "volcano"},
            queue={"type": "string"},
            priorityClassName={"type": "string"},
            minAvailable={"type": "integer", "minimum": 1},
            maxRetry={"type": "integer", "minimum": 1},
            ttlSecondsAfterFinished=NUMBER,
            plugins={"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
            policies=array(
                {
                    "oneOf": [
                        strict("action event", action=ACTIONS, event=EVENTS),
                        strict("action exitCode", action=ACTIONS, exitCode={"type": "integer", "minimum": 1}),
                    ]
                }
            ),
            tasks=array(
                strict("name replicas template", name=NAME, replicas=NUMBER, minAvailable=NUMBER, template=TEMPLATE)
            ),
        ),
    ),
    "jobset": whole(
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
        strict(
            "replicatedJobs",
            suspend={"type": "boolean"},
            ttlSecondsAfterFinished=NUMBER,
            network=strict("", enableDNSHostnames={"type": "boolean"}, publishNotReadyAddresses={"type": "boolean"}),
            failurePolicy=strict(
                "maxRestarts",
                maxRestarts=NUMBER,
                rules=array(
                    strict(
                        "name action",
                        name={"type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                        action={"enum": ["FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"]},
                        onJobFailureReasons=array({"enum": ["PodFailurePolicy", "BackoffLimitExceeded"]}),
                    )
                ),
            ),
            replicatedJobs=array(
                strict(
                    "name template",
                    name=NAME,
                    replicas=NUMBER,
                    template=strict("spec", metadata={"type": "object"}, spec={"type": "object"}),
                )
            ),
        ),
    ),
    "pytorchjob": whole(
        "kubeflow.org/v1",
        "PyTorchJob",
        strict(
            "runPolicy pytorchReplicaSpecs",
            runPolicy=strict(
                "",
                cleanPodPolicy={"enum": ["All", "Running", "None"]},
                backoffLimit=NUMBER,
                ttlSecondsAfterFinished=NUMBER,
                suspend={"type": "boolean"},
                schedulingPolicy=strict("", minAvailable=NUMBER),
            ),
            elasticPolicy=strict(
                "", minReplicas=NUMBER, maxReplicas=NUMBER, rdzvBackend={"enum": ["c10d", "etcd", "etcd-v2"]}
            ),
            pytorchReplicaSpecs=strict(
                "Worker",
                Worker=strict(
                    "replicas template",
                    replicas=NUMBER,
                    restartPolicy={"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
                    template=TEMPLATE,
                ),
            ),
        ),
    ),
}
