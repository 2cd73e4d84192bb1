"""The pai_dlc scheduler: what it would submit, what it refuses, and that its one command gives a program its words."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import corpus
from safety.pai_dlc import node
from torchx.specs import AppDef, BindMount, DeviceMount, Resource, Role, VolumeMount

from tzx_schedulers import pai_dlc
from tzx_schedulers._pai_dlc_options import TEXTS
from tzx_schedulers._words import SchedulerError
from tzx_schedulers.pai_dlc import DlcScheduler

GOLDEN = Path(__file__).parent / "golden"
Until = Callable[..., Any]
BASE = {"workspace": "12", "image": "registry/tzx:1", "quota": "quota1"}


def app(**role: Any) -> AppDef:
    values: dict[str, Any] = {
        "entrypoint": "python",
        "args": ["-m", "tzx.apps.train", "--config", "my config.config", "--set", "model_dir=$HOME/${app_id}"],
        "env": {"MY_TOKEN": "secret:///mnt/secrets/token", "WHO": "${replica_id} of ${app_id}", "PLAIN": "it's"},
        "num_replicas": 2,
        "resource": Resource(cpu=4, gpu=0, memMB=8192),
        **role,
    }
    return AppDef("train-deepfm", [Role("trainer", values.pop("image", ""), **values)])


def plan(found: AppDef, session: str = "torchx", **cfg: Any) -> Any:
    return DlcScheduler(session).submit_dryrun(found, {**BASE, **cfg})


# ---- dry run

RICH = {
    "quota": None,
    "vpc": "vpc-1",
    "vswitch": "vsw-1",
    "security_group": "sg-1",
    "code_source": "code-1",
    "code_branch": "main",
    "cwd": "/mnt/code",
    "tags": {"team": "ads"},
    "priority": 5,
    "max_minutes": 600,
    "fault_tolerance": True,
    "fault_tolerance_args": "--job-execution-mode=Sync --enable-job-restart=True",
    "tensorboard": "/mnt/models/run1",
}
MOUNTS = [
    VolumeMount("oss://b.oss-cn-hangzhou-internal.aliyuncs.com/m/", "/mnt/models"),
    VolumeMount("d-1", "/in", True),
]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "quota": ({"resource": Resource(cpu=16, gpu=2, memMB=65536)}, {"shm_size": "16Gi"}),
    "rich": (
        {"mounts": MOUNTS, "max_retries": 3, "resource": Resource(8, 1, 1, {"aliyun.instance_type": "ecs.gn7i"})},
        RICH,
    ),
    "elastic": ({"num_replicas": 4, "min_replicas": 1}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_dry_run(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pai_dlc, "make_unique", lambda text: f"{text}-0")
    for module in ("alibabacloud_pai_dlc20201203", "alibabacloud_credentials", "alibabacloud_tea_openapi"):
        monkeypatch.setitem(sys.modules, module, None)
    role, cfg = CASES[name]
    text = str(plan(app(**role), **cfg)) + "\n"
    file = GOLDEN / f"pai_dlc_{name}.txt"
    if not file.is_file():
        file.write_text(text)
        pytest.fail(f"{file.name} was not there and has been written; look at it and run again")
    assert text == file.read_text()


@pytest.mark.parametrize(
    "role, cfg, words",
    [
        ({}, {"quota": "a\nb"}, ["quota", "U+000A"]),
        ({}, {"workspace": None}, ["workspace"]),
        ({}, {"image": None}, ["image"]),
        ({}, {"quota": None}, ["ecs_spec", "-h"]),
        ({}, {"priority": 10}, ["priority=10", "1 to 9"]),
        ({}, {"vswitch": "v"}, ["vswitch needs vpc"]),
        ({}, {"code_branch": "main"}, ["code_branch needs code_source"]),
        ({}, {"fault_tolerance_args": "--x"}, ["fault_tolerance=True"]),
        ({}, {"cwd": "code"}, ["cwd='code'", "absolute"]),
        ({}, {"tags": {"tzx-name": "x"}}, ["tags", "tzx"]),
        ({}, {"tags": {"a": "b c"}}, ["tags", "'b c'"]),
        ({}, {"tensorboard": "/logs"}, ["tensorboard=/logs", "there are none"]),
        ({"mounts": MOUNTS}, {"tensorboard": "/mnt/models2"}, ["/mnt/models, /in"]),
        ({"mounts": [BindMount("/data", "/in")]}, {}, ["src='/data'", "oss://"]),
        ({"mounts": [VolumeMount("d-1", "in")]}, {}, ["dst='in'", "absolute"]),
        ({"mounts": [DeviceMount("/dev/a", "/dev/a")]}, {}, ["type=volume"]),
        ({"env": {"A B": "x"}}, {}, ["env", "'A B'"]),
        ({"env": {"MY_TOKEN": "hunter2"}}, {}, ["MY_TOKEN", "secret:///"]),
        ({"args": ["oss://ak:hunter2@bucket/x"]}, {}, ["password"]),
        ({"args": ["a\0b"]}, {}, ["NUL"]),
        ({"args": ["\udcff"]}, {}, ["Unicode"]),
        ({"num_replicas": 0}, {}, ["0 to 0"]),
        ({"num_replicas": 2, "min_replicas": 3}, {}, ["3 to 2"]),
        ({"args": ["a", "b" * 70_000]}, {}, ["65,536", "argument 2 ('bbb", "70,000"]),
        ({"env": {"BIG": "x" * 66_000}}, {}, ["65,536", "env BIG 66,000"]),
    ],
)
def test_refused(role: dict[str, Any], cfg: dict[str, Any], words: list[str], home: Path) -> None:
    with pytest.raises(SchedulerError) as error:
        plan(app(**role), **cfg)
    message = str(error.value)
    assert all(word in message for word in words) and len(message.splitlines()) == 1
    assert "hunter2" not in message


def test_the_limit_is_for_the_request_as_a_whole(home: Path) -> None:
    size = len(json.dumps(plan(app(args=["x"])).request.body).encode())
    fits = "x" * (65_536 - size - 20)
    assert plan(app(args=[fits])).request.body["UserCommand"].count(fits) == 1
    with pytest.raises(SchedulerError, match="65,536"):
        plan(app(args=[fits + "x" * 60]))


def test_options_are_taken_as_they_are_or_refused(home: Path) -> None:
    canary = home / "canary"
    refused = arrived = 0
    names = [name for name in TEXTS if name not in ("workspace", "cwd", "code_dir", "tensorboard")]
    for word in corpus(canary):
        if not word:
            continue
        try:
            body = plan(app(image=word), **dict.fromkeys(names, word), fault_tolerance=True).request.body
        except SchedulerError:
            refused += 1
            continue
        arrived += 1
        assert body["JobSpecs"][0]["Image"] == body["ResourceId"] == body["UserVpc"]["SwitchId"] == word
        assert body["Settings"]["ErrorMonitoringArgs"] == body["CodeSource"]["Branch"] == word
        assert word not in body["UserCommand"] or len(word) < 10
    assert refused > 30 and arrived > 150 and not canary.exists()


# ---- the command, run by the shells that images have


def command_of(found: AppDef, **cfg: Any) -> str:
    return str(plan(found, **cfg).request.body["UserCommand"])


def escaped(text: str) -> str:
    """A word as TorchX wants it, which looks for macros."""
    return text.replace("$", "$$")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_arguments_and_variables_arrive_as_they_are(home: Path, shell: str) -> None:
    canary, out = home / "canary", home / "seen.json"
    words = [word for word in corpus(canary) if len(word) < 20_000 and not re.search("[\ud800-\udfff]", word)]
    words += ["$(RANK)", "$$(RANK)", "$$", "$(MASTER_ADDR) $$$$ $((1))", "@x@"]
    assert len(words) >= 200
    code = "import json,os,sys; json.dump([sys.argv[2:],dict(os.environ)],open(sys.argv[1],'w'))"
    env = {f"V{i}": word for i, word in enumerate(words)}
    halves = [words[::2], words[1::2]]
    for number, half in enumerate(halves):  # together they are more than a request may hold
        own = {key: env[key] for key in list(env)[number::2]}
        args = [escaped(word) for word in half]
        values = {key: escaped(value) for key, value in own.items()}
        found = app(entrypoint=sys.executable, args=["-S", "-c", code, str(out), *args], env=values)
        done = node(command_of(found), home, shell)
        assert done.communicate(timeout=60)[0] == b"" and done.returncode == 0
        seen, environment = json.loads(out.read_text())
        assert seen == half
        assert {name: environment.get(name) for name in own} == own
    assert not canary.exists()


def run(text: str, work: Path, found: dict[str, Any] | None = None, **env: str) -> tuple[int, str]:
    done = node(
        command_of(app(**{"entrypoint": sys.executable, "args": ["-S", "-c", text], **(found or {})})), work, **env
    )
    return done.wait(60), done.communicate()[0].decode()


def test_what_a_node_finds(home: Path) -> None:
    (home / "token").write_text("hunter2\n")
    text = "import os; e=os.environ; print(*[e.get(n,'-') for n in ('TZX_MASTER_ADDR','TZX_MASTER_PORT',"
    text += "'TORCHX_REPLICA_IDX','TZX_RESTART_COUNT','WORLD_SIZE','RANK','WHO','MY_TOKEN','TORCHX_JOB_ID')])"
    env = {"MY_TOKEN": f"secret://{home}/token", "WHO": "node-${replica_id}"}
    code, said = run(text, home, {"env": env})
    assert code == 0 and re.fullmatch(
        r"job-worker-0 23456 1 0 - - node-1 hunter2 pai_dlc://torchx/train-deepfm-\w+\n", said
    )
    assert run(text, home, {"env": {"A_TOKEN": "secret:///nonexistent"}})[0] == 2


@pytest.mark.parametrize("code", [0, 1, 2, 65, 74, 75, 126, 127, 130, 143])
def test_retries_by_exit_code(home: Path, code: int) -> None:
    text = f"import os,sys; sys.exit({code} if os.environ['TZX_RESTART_COUNT'] == '0' else 0)"
    never = code in (2, 65, 126, 127, 130)
    ended, said = run(text, home, {"max_retries": 1, "env": {}})
    assert ended == (code if never else 0)
    assert said == ("" if never or code == 0 else f"tzx: exited with {code}; restart 1 of 1\n")


def test_retries_end(home: Path) -> None:
    ended, said = run("raise SystemExit(75)", home, {"max_retries": 1, "env": {}})
    assert ended == 75 and said == "tzx: exited with 75; restart 1 of 1\n"
    assert run("", home, {"entrypoint": "no-such-program", "max_retries": 3, "env": {}})[0] == 127


def test_a_stop_reaches_the_program_once(home: Path, until: Until) -> None:
    text = """
import os, signal, sys, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
open("ready", "w").close()
while not told: time.sleep(0.02)
time.sleep(0.5)
print("saved, told", len(told), flush=True)
sys.exit(143)
"""
    found = app(entrypoint=sys.executable, args=["-S", "-c", text], env={}, max_retries=3)
    process = node(command_of(found), home)
    until((home / "ready").exists, 60)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == b"saved, told 1\n" and process.returncode == 143


def test_shells_can_read_the_script(home: Path) -> None:
    script = Path(pai_dlc.__file__).with_name("_pai_dlc_run.sh")
    for shell in ("sh", "bash"):
        subprocess.run([shell, "-n", str(script)], check=True)
    text = script.read_text()
    assert (
        "set -x" not in text
        and "eval" not in text
        and not re.search(r"\$\$|\$\([A-Za-z_]\w*\)", text.partition("\nexport")[2])
    )
