"""The slurm scheduler without Slurm: what it would submit, what it refuses, and that no string becomes a command."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchx.specs import AppDef, AppState, BindMount, Resource, Role

from tzx_schedulers import _slurm_client as client
from tzx_schedulers import _slurm_jobs as jobs
from tzx_schedulers import slurm
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.slurm import SlurmScheduler

GOLDEN = Path(__file__).parent / "golden"
SCRIPTS = Path(slurm.__file__).parent
REFUSED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def app(**role: Any) -> AppDef:
    values: dict[str, Any] = {
        "entrypoint": "python",
        "args": ["-m", "tzx.apps.train", "--config", "my config.config", "--set", "model_dir=$HOME/${app_id}"],
        "env": {"MY_TOKEN": "hunter2", "WHO": "${replica_id} of ${app_id}", "PLAIN": "it's"},
        "num_replicas": 2,
        "resource": Resource(cpu=4, gpu=0, memMB=2048),
        **role,
    }
    return AppDef("train-deepfm", [Role("trainer", "", **values)])


def plan(found: AppDef, session: str = "torchx", **cfg: Any) -> Any:
    scheduler = SlurmScheduler(session)
    return scheduler.submit_dryrun(found, cfg)


# ---- dry run

RICH = {
    "partition": "gpu",
    "time": "1-00:00:00",
    "account": "research",
    "qos": "high",
    "constraint": "a100&ib",
    "mail_user": "me@example.org",
    "mail_type": "END,FAIL",
    "comment": "first try",
    "modules": "cuda/12.8 gcc",
    "grace_seconds": 120,
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "options": ({"max_retries": 3, "resource": Resource(cpu=8, gpu=4, memMB=65536)}, RICH),
    "elastic": ({"num_replicas": 4, "min_replicas": 1}, {"requeue": False, "nomem": True}),
    "container": (
        {"mounts": [BindMount("/data", "/in", read_only=True)]},
        {"container_image": "nvcr.io#nvidia/pytorch:25.01-py3", "job_dir": "/shared/jobs"},
    ),
}


def shown(name: str, home: Path) -> str:
    role, cfg = CASES[name]
    text = str(plan(app(**role), **cfg))
    text = (
        text.replace(str(home), "WORK")
        .replace(str(home.parent), "HOME")
        .replace(str(Path(sys.executable).parent), "BIN")
    )
    if name != "plain":  # the constant part of the scripts is shown once
        for script in SCRIPTS.glob("_slurm_*.sh"):
            text = text.replace(script.read_text().rstrip(), f"({script.name})")
    return text + "\n"


@pytest.mark.parametrize("name", CASES)
def test_dry_run(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "make_unique", lambda text: f"{text}-0")
    monkeypatch.setenv("PATH", "/nonexistent")  # there is no Slurm here
    before = sorted(home.parent.rglob("*"))
    text = shown(name, home)
    file = GOLDEN / f"slurm_{name}.txt"
    if not file.is_file():
        file.write_text(text)
        pytest.fail(f"{file.name} was not there and has been written; look at it and run again")
    assert text == file.read_text()
    assert "hunter2" not in text and sorted(home.parent.rglob("*")) == before


def test_scripts_are_valid_and_never_trace() -> None:
    for script in SCRIPTS.glob("_slurm_*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert "set -x" not in script.read_text() and "eval" not in script.read_text()


# ---- refusals


@pytest.mark.parametrize(
    "role, cfg, words",
    [
        ({}, {"partition": "a\nb"}, ["partition", "U+000A"]),
        ({}, {"comment": "\u202e"}, ["comment", "U+202E"]),
        ({}, {"job_dir": "/a%j"}, ["job_dir", "%"]),
        ({}, {"modules": "cuda; rm"}, ["modules", "'cuda;'"]),
        ({}, {"modules": "--purge"}, ["modules", "'--purge'"]),
        ({}, {"grace_seconds": 0}, ["grace_seconds=0", "1 to 65535"]),
        ({"env": {"A B": "x"}}, {}, ["env", "'A B'"]),
        ({"args": ["a\0b"]}, {}, ["NUL"]),
        ({"num_replicas": 0}, {}, ["trainer"]),
        ({"num_replicas": 2, "min_replicas": 3}, {}, ["3 to 2"]),
        ({"mounts": [BindMount("/a:b", "/c")]}, {"container_image": "x"}, ["mounts", "colon"]),
    ],
)
def test_refused(role: dict[str, Any], cfg: dict[str, Any], words: list[str], home: Path) -> None:
    with pytest.raises(SchedulerError) as error:
        plan(app(**role), **cfg)
    message = str(error.value)
    assert all(word in message for word in words) and len(message.splitlines()) == 1


def test_a_job_has_one_role(home: Path) -> None:
    two = AppDef("two", [*app().roles, Role("second", "", entrypoint="true")])
    with pytest.raises(SchedulerError, match="trainer, second"):
        plan(two)


# ---- what Slurm says

RUNNING = (
    "JobId=7 JobName=x JobState=RUNNING Reason=None Requeue=1 Restarts=2 ExitCode=0:0 "
    "Command=/a b/batch.sh WorkDir=/w Comment=JobState=FAILED"
)


def test_reads_scontrol() -> None:
    facts = client.parse_facts(RUNNING)
    assert facts == client.Facts("RUNNING", "RUNNING", "", 0, 2, "/a b/batch.sh")
    killed = client.parse_facts("JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15")
    assert killed and (killed.state, killed.code, killed.reason) == ("FAILED", 143, "TimeLimit")
    assert client.parse_facts("") is None


@pytest.mark.parametrize("native", ["PENDING", "COMPLETED", "CANCELLED+", "OUT_OF_MEMORY", "SOMETHING_NEW"])
def test_every_state_is_one_of_torchx(native: str) -> None:
    assert client.meaning(native) in AppState.__members__
    assert (client.meaning(native) == "UNKNOWN") == (native == "SOMETHING_NEW")


# ---- with stand-ins of Slurm's commands


def submit(found: AppDef, session: str = "torchx", **cfg: Any) -> Path:
    """Submits, and returns the job's directory."""
    SlurmScheduler(session).schedule(plan(found, session, **cfg))
    return (jobs.state_home() / "index" / "41").resolve()


@pytest.mark.parametrize("code", [0, 1, 2, 65, 74, 75, 126, 127, 130, 143])
def test_retries_by_exit_code(stubs: Any, home: Path, code: int) -> None:
    script = f"import os,sys; sys.exit({code} if os.environ['TZX_RESTART_COUNT'] == '0' else 0)"
    job = submit(app(entrypoint=sys.executable, args=["-S", "-c", script], max_retries=1))
    never = code in (2, 65, 126, 127, 130)
    assert stubs.run(job).returncode == (code if never else 0)
    outcome = jobs.outcome("41", job)
    assert outcome and outcome.state == ("FAILED" if never else "SUCCEEDED")
    assert outcome.restarts == (0 if never or code == 0 else 1)


def test_a_missing_program_is_127(stubs: Any, home: Path) -> None:
    job = submit(app(entrypoint="no-such-program", max_retries=3))
    assert stubs.run(job).returncode == 127
    described = SlurmScheduler("torchx").describe("41")
    assert described and described.state == AppState.FAILED and "exited with 127" in described.msg
    assert "no-such-program" in "".join(SlurmScheduler("torchx").log_iter("41", "trainer", 0))


def test_a_refused_job_leaves_nothing(stubs: Any, home: Path) -> None:
    (stubs.folder / "refuse").touch()
    with pytest.raises(SchedulerError, match="invalid partition specified: x"):
        submit(app())
    assert jobs.known() == [] and list((jobs.state_home() / "jobs").iterdir()) == []


def outcome_with(stubs: Any, job: Path, facts: str | None) -> Callable[[], str]:
    (stubs.folder / "facts").write_text(facts or "")
    if facts is None:
        (stubs.folder / "facts").unlink()
    found = jobs.outcome("41", job)
    assert found is not None
    return lambda: f"{found.state} {found.message}"


def test_who_knows_the_state(stubs: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(app())
    assert outcome_with(stubs, job, "JobState=PENDING Reason=Priority")() == "PENDING waiting: Priority"
    assert outcome_with(stubs, job, RUNNING)() == "RUNNING "
    assert (
        outcome_with(stubs, job, "JobState=NODE_FAIL Reason=NodeDown ExitCode=1:0")() == "FAILED NODE_FAIL (NodeDown)"
    )
    assert json.loads((job / "exit.json").read_text())["state"] == "FAILED"  # for when Slurm has forgotten it
    assert outcome_with(stubs, job, None)().startswith("FAILED NODE_FAIL")
    (job / "exit.json").unlink()
    assert "Slurm has forgotten it" in outcome_with(stubs, job, None)()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert outcome_with(stubs, job, None)().startswith("UNKNOWN Slurm cannot be asked: scontrol is not installed")
    assert jobs.listed_states(["41"]) == {"41": "UNKNOWN"}


def test_strangers_are_unknown(stubs: Any, home: Path) -> None:
    scheduler = SlurmScheduler("torchx")
    assert scheduler.describe("42") is None and scheduler.describe("../x") is None
    with pytest.raises(SchedulerError, match="not submitted by tzx"):
        scheduler.log_iter("42", "trainer", 0)
