"""The kubernetes scheduler without a cluster: what it would create, what it refuses, what Kubernetes would say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from torchx.specs import AppDef, BindMount, DeviceMount, Resource, Role, VolumeMount

from tzx_schedulers import _kubernetes_request as requests
from tzx_schedulers import _plan as plans
from tzx_schedulers._kubernetes_files import seen_as
from tzx_schedulers._kubernetes_kinds import KINDS
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.contract import hidden, reveals
from tzx_schedulers.kubernetes import KubernetesScheduler

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ("1.29.1", "1.34.1", "1.37.0")


def app(**role: Any) -> AppDef:
    values: dict[str, Any] = {
        "entrypoint": "python",
        "args": ["-m", "tzx.apps.train", "--config", "my config.config", "--set", "model_dir=$HOME/${app_id}"],
        "env": {"MY_TOKEN": "hunter2", "OSS_ACCESS_KEY_ID": "secret://oss/id", "WHO": "${replica_id}", "PLAIN": "it's"},
        "resource": Resource(cpu=4, gpu=0, memMB=2048),
        **role,
    }
    return AppDef("train-deepfm-movielens", [Role("trainer", "repo/tzx:1", **values)])


def plan(found: AppDef, session: str = "torchx", **cfg: Any) -> Any:
    return KubernetesScheduler(session).submit_dryrun(found, {"namespace": "ml", **cfg})


@pytest.fixture(autouse=True)
def no_chance(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "make_unique", lambda text: f"{text}-bcdfghjklmnp0")
    monkeypatch.setattr(requests, "_user", lambda: "somebody")
    monkeypatch.setattr(plans.importlib.util, "find_spec", lambda _: None)  # the plan has tests of its own
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name in ("x.config", "fg.json"):
        (home / name).write_text(f"# {name}\n")


# ---- golden files, and whether Kubernetes would take them

RICH = {
    "queue": "team",
    "service_account": "trainer",
    "priority_class": "high",
    "node_selector": {"pool": "gpu", "example.org/zone": "a"},
    "tolerations": ["nvidia.com/gpu=present:NoSchedule", "spot"],
    "labels": {"team": "ads"},
    "image_pull_secret": "registry",
    "image_pull_policy": "Always",
    "cloud": "aws",
    "shm_size": "8Gi",
    "grace_seconds": 120,
    "ttl_seconds": -1,
}
GPU = Resource(cpu=8, gpu=4, memMB=65536, capabilities={"aws.instance_type": "g5.12xlarge"}, devices={"x.org/efa": 1})
MOUNTS = [
    VolumeMount("data", "/data", read_only=True),
    VolumeMount("pvc://models/team a", "/models"),
    VolumeMount("secret://oss", "/secrets/oss"),
    VolumeMount("configmap://configs/x.config", "/configs"),
]
STAGES = [
    *["-m", "tzx.apps.pipeline"],
    *["--stage", "train=-m tzx.apps.train --config x.config --set 'fg=fg.json' --seed 1"],
    *["--stage", "eval=-m tzx.apps.eval --config 'other x.config'"],
    *["--stage", "export@0=-m tzx.apps.export --config x.config --asset_files fg.json --export_dir /b/${app_id}"],
    *["--record", "/b.stages.json"],
]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one": ({}, {}),
    "nodes": ({"num_replicas": 4, "max_retries": 3}, {}),
    "gpu": ({"num_replicas": 2, "max_retries": 2, "resource": GPU, "mounts": MOUNTS}, RICH),
    "elastic": ({"num_replicas": 4, "min_replicas": 2, "max_retries": 1}, {}),
    "pipeline": ({"num_replicas": 2, "args": STAGES}, {"files": ["x.config", "fg.json"]}),
}
SOME = {"elastic": [kind for kind in KINDS if KINDS[kind].elastic], "pipeline": ["job"]}
MADE = [(kind, case) for case in CASES for kind in SOME.get(case, KINDS)]


def made(kind: str, case: str) -> Any:
    role, cfg = CASES[case]
    return plan(app(**role), kind=kind, **cfg)


@pytest.mark.parametrize("kind, case", MADE)
def test_dry_run(kind: str, case: str, home: Path) -> None:
    text = str(made(kind, case))
    file = GOLDEN / f"kubernetes_{kind}_{case}.yaml"
    if not file.is_file():
        file.write_text(text)
        pytest.fail(f"{file.name} was not there and has been written; look at it and run again")
    assert text == file.read_text()
    assert "hunter2" not in text and set(home.parent.rglob("*")) == {home, home / "x.config", home / "fg.json"}


@pytest.mark.parametrize("kind, case", MADE)
def test_kubernetes_would_take_it(kind: str, case: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    jsonschema = pytest.importorskip("jsonschema")
    from kubernetes_crds import SCHEMAS

    *helpers, main = made(kind, case).request.objects
    if kind != "job":
        jsonschema.validate(main, SCHEMAS[kind], cls=jsonschema.Draft202012Validator)
    for version in VERSIONS:
        for one in [*helpers, *([main] if kind == "job" else []), *parts(main)]:
            validate(one, version, strict=True)


def parts(main: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Pods and jobs inside an object of another kind."""
    for job in main["spec"].get("replicatedJobs", ()):
        yield {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": job["name"]},
            "spec": job["template"]["spec"],
        }
    holders = [*main["spec"].get("tasks", ()), *main["spec"].get("pytorchReplicaSpecs", {}).values()]
    for holder in holders:
        template = holder["template"]
        metadata = {**template["metadata"], "name": "pod"}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_a_misspelt_field_would_be_found() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    jsonschema = pytest.importorskip("jsonschema")
    from kubernetes_crds import SCHEMAS

    job = made("job", "one").request.objects[-1]
    job["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="volumeMount"):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)
    for kind in SCHEMAS:
        main = made(kind, "one").request.objects[-1]
        main["spec"]["maxRetries"] = 3
        with pytest.raises(jsonschema.ValidationError, match="maxRetries"):
            jsonschema.validate(main, SCHEMAS[kind])


@pytest.mark.parametrize("case", ["one", "nodes", "gpu"])
def test_jobset_by_models_made_from_its_own_schema(case: str) -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models")
    main = made("jobset", case).request.objects[-1]
    read = models.JobsetV1alpha2JobSet.from_dict(main)
    assert read.to_dict() == main  # what the models do not know they drop


def strange(type_: str, value: dict[str, Any]) -> list[str]:
    """Fields that a model of the training operator's, made from its schema, does not have."""
    model = getattr(pytest.importorskip("kubeflow.training"), type_)
    types = {field: model.openapi_types[own] for own, field in model.attribute_map.items()}
    found = [field for field in value if field not in types]
    for field, inner in value.items():
        if (known := types.get(field, "")).startswith("Kubeflow"):
            found += strange(known, inner)
        elif known.startswith("dict(str, Kubeflow"):
            found += [name for one in inner.values() for name in strange(known[10:-1], one)]
    return found


@pytest.mark.parametrize("case", ["one", "nodes", "gpu", "elastic"])
def test_pytorchjob_by_models_made_from_its_own_schema(case: str) -> None:
    main = made("pytorchjob", case).request.objects[-1]
    assert strange("KubeflowOrgV1PyTorchJob", main) == []
    main["spec"]["runPolicy"]["schedulingPolicy"]["minMember"] = 2
    main["spec"]["pytorchReplicaSpecs"]["Worker"]["maxRetry"] = 2
    assert sorted(strange("KubeflowOrgV1PyTorchJob", main)) == ["maxRetry", "minMember"]


def test_names_fit_a_host_name() -> None:
    found = app(num_replicas=1000)
    found.name = "a-very-long-name-of-a-job-that-goes-on-and-on"
    found.roles[0].name = "a role with a very long name"
    for kind in KINDS:
        request = plan(found, kind=kind).request
        role = request.objects[-1]["spec"].get("replicatedJobs", [{"name": "a-role-with-a"}])[0]["name"]
        assert len(f"{request.name}-{role}-0-999") <= 63


def test_a_dry_run_needs_neither_sdk_nor_cluster() -> None:
    code = (
        "import sys; sys.modules['kubernetes'] = None\n"
        "from torchx.specs import AppDef, Role\nfrom tzx_schedulers.kubernetes import create_scheduler\n"
        "s = create_scheduler('x')\n"
        "print(s.submit_dryrun(AppDef('a', [Role('r', 'image', entrypoint='true')]), {}))\n"
        "from torchx.specs.finder import ComponentValidationException as E\n"
        "try: s.describe('ns:x')\nexcept E as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "kind: Job" in done.stdout and "pip install 'tzx[kubernetes]'" in done.stdout, done.stderr


def test_the_namespace_is_that_of_the_current_context(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(**cfg: Any) -> str:
        return str(KubernetesScheduler("x").submit_dryrun(app(), cfg).request.namespace)

    assert (name(), name(namespace="b")) == ("default", "b")
    contexts = [{"name": "one", "context": {"namespace": "team"}}, {"name": "two", "context": {}}]
    for current, expected in (("one", "team"), ("two", "default"), ("", "default")):
        (home / "config").write_text(yaml.safe_dump({"contexts": contexts, "current-context": current}))
        monkeypatch.setenv("KUBECONFIG", f"{home}/none:{home}/config")
        assert name() == expected


def test_other_programs_may_have_a_flag_called_stage() -> None:
    words = ["--stage", "it's one", "--stage", "x=it's two", "--stage", "x=a  b"]
    assert seen_as(words, ["x.config"]) == words


def test_small_files_travel_with_the_job(home: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    (home / "x.config").write_text("model_dir: 'a'\n")
    found = app(args=["--config", "x.config", "--other", "x.config.bak"])
    _, made, _, job = plan(found, files=["x.config"]).request.objects
    validate({**made}, VERSIONS[-1], strict=True)
    assert made["kind"] == "ConfigMap" and made["data"] == {"x.config": "model_dir: 'a'\n"}
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["--config", "/tzx/files/x.config", "--other", "x.config.bak"]
    assert {"name": "files", "configMap": {"name": made["metadata"]["name"]}} in pod["volumes"]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("none", None, ["'none'", "No such file"]),
        ("a b", b"x", ["'a b'", "letters, digits"]),
        ("bin", b"\xff\xfe", ["'bin'", "is no text"]),
        ("key", b"access_key: hunter2", ["'key'", "password or key"]),
        ("big", b"x" * 600_000, ["600,000 bytes", "volume"]),
    ],
)
def test_files_that_do_not_travel(home: Path, name: str, content: bytes | None, words: list[str]) -> None:
    if content is not None:
        (home / name).write_bytes(content)
    with pytest.raises(SchedulerError) as error:
        plan(app(env={}), files=[name])
    assert all(word in str(error.value) for word in ["files", *words]) and "hunter2" not in str(error.value)


# ---- what a job may do


def pod_of(request: Any) -> dict[str, Any]:
    return dict(request.objects[-1]["spec"]["template"]["spec"])


def test_nothing_runs_as_root_or_sees_the_node() -> None:
    pod = pod_of(plan(app()).request)
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert "hostPath" not in str(pod) and "hostNetwork" not in pod and "privileged" not in str(pod)
    root = pod_of(plan(app(), run_as_user=0).request)
    assert root["securityContext"] == {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    bound = pod_of(plan(app(mounts=[BindMount("/d", "/e")]), host_paths=True).request)
    assert {"name": "mount-0", "hostPath": {"path": "/d"}} in bound["volumes"]


def test_shared_memory_is_there() -> None:
    pod = pod_of(plan(app()).request)
    assert {"name": "dshm", "emptyDir": {"medium": "Memory"}} in pod["volumes"]
    assert {"name": "dshm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def test_tolerations_can_be_typed() -> None:
    written = "tolerations=nvidia.com/gpu:present:NoSchedule;spot:NoExecute;a:b;c,shm_size=1Gi"
    cfg = KubernetesScheduler("x").run_opts().cfg_from_str(written)
    found = pod_of(plan(app(), **cfg).request)["tolerations"]
    assert found == [
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists", "effect": "NoExecute"},
        {"key": "a", "operator": "Equal", "value": "b"},
        {"key": "c", "operator": "Exists"},
    ]


def test_retries_are_counted_by_the_cluster() -> None:
    spec = plan(app(num_replicas=2, max_retries=3)).request.objects[-1]["spec"]
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"], spec["backoffLimit"]) == (3, 0, 6)
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2, 65, 126, 127, 130]


def test_several_roles() -> None:
    two = AppDef("two", [app().roles[0], Role("evaluator", "image", entrypoint="true", num_replicas=2)])
    (tasks,) = [plan(two, kind="volcano").request.objects[-1]["spec"]]
    assert [(task["name"], task["replicas"]) for task in tasks["tasks"]] == [("trainer", 1), ("evaluator", 2)]
    assert tasks["minAvailable"] == 3
    jobs = plan(two, kind="jobset").request.objects[-1]["spec"]["replicatedJobs"]
    hosts = [job["template"]["spec"]["template"]["spec"]["containers"][0]["env"] for job in jobs]
    masters = [next(one["value"] for one in env if one["name"] == "TZX_MASTER_ADDR") for env in hosts]
    assert masters[1].startswith("two-bcdfghjklmnp0-evaluator-0-0.")


@pytest.mark.parametrize(
    "role, cfg, words",
    [
        ({}, {"kind": "pod"}, ["kind=", "job, volcano, jobset, pytorchjob"]),
        ({}, {"namespace": "A_b"}, ["namespace", "'A_b'"]),
        ({}, {"queue": "a\nb"}, ["queue", "U+000A"]),
        ({}, {"node_selector": {"a b": "c"}}, ["node_selector", "'a b'"]),
        ({}, {"labels": {"a": "b c"}}, ["labels", "'b c'"]),
        ({}, {"tolerations": ["a=b:Never"]}, ["tolerations", "NoSchedule"]),
        ({}, {"shm_size": "8 GB"}, ["shm_size", "8Gi"]),
        ({}, {"grace_seconds": 0}, ["grace_seconds=0"]),
        ({}, {"on_cancel": "stop"}, ["on_cancel", "delete, suspend"]),
        ({}, {"on_cancel": "suspend", "queue": "q"}, ["Kueue"]),
        ({}, {"cloud": "moon"}, ["cloud", "aws"]),
        ({"image": ""}, {}, ["no image", "--image"]),
        ({"env": {"A B": "x"}}, {}, ["env", "'A B'"]),
        ({"env": {"A": "secret://x"}}, {}, ["env A", "secret://NAME/KEY"]),
        ({"env": {"URL": "oss://me:hunter2@bucket"}}, {}, ["URL", "secret://"]),
        ({"args": ["--set", "access_key_secret=hunter2"]}, {}, ["password or key", "--env"]),
        ({"args": ["a\0b"]}, {}, ["U+0000"]),
        ({"args": ["\udcff"]}, {}, ["U+DCFF"]),
        ({"args": ["x" * 1_100_000]}, {}, ["bytes", "1,000,000"]),
        ({"num_replicas": 0}, {}, ["trainer", "0 to 0"]),
        ({"num_replicas": 4, "min_replicas": 2}, {}, ["2 to 4", "kind=volcano"]),
        ({"num_replicas": 4, "min_replicas": 2}, {"kind": "jobset"}, ["2 to 4", "kind=volcano"]),
        ({"mounts": [BindMount("/a", "/c")]}, {}, ["host_paths"]),
        ({"mounts": [DeviceMount("/dev/x", "/dev/x")]}, {}, ["privileged"]),
        ({"mounts": [VolumeMount("ftp://x", "/c")]}, {}, ["mounts", "'ftp:'", "no name"]),
        ({"mounts": [VolumeMount("a/../b", "/c")]}, {}, ["leaves its claim"]),
        ({"mounts": [VolumeMount("a", "c")]}, {}, ["absolute"]),
        ({"mounts": [VolumeMount("a", "/dev/shm")]}, {}, ["/dev/shm"]),
    ],
)
def test_refused(role: dict[str, Any], cfg: dict[str, Any], words: list[str]) -> None:
    found = app(**{key: value for key, value in role.items() if key != "image"})
    found.roles[0].image = role.get("image", "image")
    with pytest.raises(SchedulerError) as error:
        plan(found, **cfg)
    message = str(error.value)
    assert all(word in message for word in words) and len(message.splitlines()) == 1 and "hunter2" not in message


def test_two_roles_need_a_kind_that_knows_them() -> None:
    two = AppDef("two", [*app().roles, Role("second", "image", entrypoint="true")])
    for kind in ("job", "pytorchjob"):
        with pytest.raises(SchedulerError, match="trainer, second; use kind=jobset"):
            plan(two, kind=kind)


def test_what_a_text_gives_away_is_hidden() -> None:
    assert hidden("oss://me:hunter2@b/c a=1,access_key_secret=hunter2 {'token': 'x'}") == (
        "oss://me:***@b/c a=1,access_key_secret=*** {'token': ***}"
    )
    for harmless in ("oss://bucket/a@b", "--tokenizer x", "http://host:80/x@y", "MY_TOKEN=secret://a/b", "a=b"):
        assert not reveals(harmless), harmless
