"""What the documents say of schedulers: every command can be given, and prints what they show, also when it fails."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from movielens_job import data
from pages import ROOT, Block, Reader, blocks, loosened
from torchx.cli.argparse_util import ArgOnceAction, torchxconfig
from torchx.cli.main import main

from tzx_schedulers import _plan

LAUNCH = ROOT / "docs" / "launch"
# For commands on pages that show no settings of their own.
PROFILES = {
    "kubernetes": "[kubernetes]\nimage = repo/tzx:1",
    "pai_dlc": "[pai_dlc]\nworkspace = 1\nquota = q\nimage = repo/tzx:1",
    "emr": "[emr]\nflavor = yarn\nresourcemanager = http://127.0.0.1:9",
}
TRAIN = "tzx.components.train --config x.config"
FILES = ("x.config", "gated_mlp.config", "gated_mlp.py", "gated_mlp_pb2.py")


@pytest.fixture
def desk(home: Path, tmp_path: Path) -> Path:
    """Where a reader sits: a folder with the examples and a config of their own."""
    (home / "examples").symlink_to(ROOT / "examples")
    for name in FILES:
        (home / name).write_text((ROOT / "examples" / "deepfm_movielens.config").read_text())
    (home / ".torchxconfig").write_text((ROOT / ".torchxconfig").read_text())
    return home


@pytest.fixture
def reader(desk: Path) -> Reader:
    """Somebody with a shell there."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    secrets = {"AWS_EC2_METADATA_DISABLED": "true", "KUBECONFIG": str(desk / "none")}
    return Reader(desk, {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **secrets})


# ---- every command, as a dry run


def submissions() -> Iterator[Any]:
    """Each `torchx run` of the documents, with the settings that its page shows before it."""
    page, settings = None, ""
    for block in blocks():
        if block.file != page:
            page, settings = block.file, ""
        if block.kind == "ini":
            settings = block.body
        for command in block.commands:
            # What ends with || is shown to be refused, and run elsewhere.
            if (match := re.search(r"torchx run (.*)$", command)) and "||" not in command:
                yield pytest.param(match[1], settings, id=f"{block.name} {match[1][:50]}")


@pytest.mark.parametrize(("words", "settings"), list(submissions()))
def test_every_job_in_the_documents_could_be_submitted(
    words: str, settings: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = [text for name, text in PROFILES.items() if f"[{name}]" not in settings]
    (desk / ".torchxconfig").write_text("\n".join(["[cli:run]", "workspace =", *sections, settings, ""]))
    monkeypatch.setenv("TORCHXCONFIG", ".torchxconfig")
    monkeypatch.setattr(_plan, "_output", lambda _: "")  # the plan has tests of its own
    torchxconfig.called_args, ArgOnceAction.called_args = set(), set()  # what a command line may have once
    found = [word for word in shlex.split(words) if word != "--dryrun"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["run", "--dryrun", *found])
    assert "=== SCHEDULER REQUEST ===" in out.getvalue()


# ---- what they print


def shown(page: str, where: str) -> list[Block]:
    return [block for block in blocks() if block.file == LAUNCH / page and block.where == where]


@pytest.mark.slow
def test_a_training_here_and_its_end(reader: Reader, desk: Path) -> None:
    (desk / "data").symlink_to(data())
    training, ending = shown("local.md", "local")
    reader.read(training)
    command = ending.steps[0][0].split()
    (handle,) = [word for word in command if "://" in word]
    long = "tzx.components.train --config x.config --model_dir runs/a --set train_config.num_epochs=1000"
    words = ["torchx", "run", "-s", "local_cwd", *long.split()]
    run = subprocess.Popen(
        words, cwd=desk, env=reader.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert run.stdout is not None
    reader.handles[handle] = next(line.strip() for line in run.stdout if "://" in line)
    end = time.monotonic() + 120
    while "train epoch" not in asked(reader, f"torchx log {reader.handles[handle]}") and time.monotonic() < end:
        time.sleep(0.5)
    reader.read(ending)
    assert run.wait(60) == 1


@pytest.mark.slow
@pytest.mark.backend
def test_a_job_on_slurm(reader: Reader, slurm_conf: Path) -> None:
    reader.env = {**reader.env, "SLURM_CONF": str(slurm_conf)}
    for block in shown("slurm.md", "slurm"):
        reader.read(block)
    expected = {
        "sbatch: error: invalid partition specified: nope": "torchx run -s slurm -cfg partition=nope utils.echo",
        "Memory specification can not be satisfied": f"torchx run -s slurm {TRAIN} --memMB 9000000",
        "Invalid generic resource (gres) specification": f"torchx run -s slurm {TRAIN} --gpu 1",
        "Msg: waiting: PartitionConfig": f"torchx run -s slurm {TRAIN} -j 9x1",
    }
    for message, command in expected.items():
        assert f"`{message}`" in (LAUNCH / "slurm.md").read_text()
        assert message in asked(reader, command), message


def asked(reader: Reader, command: str) -> str:
    """What a command prints, whether it succeeds or not."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=reader.work, env=reader.env, text=True, capture_output=True, timeout=120
    )
    return done.stdout + done.stderr


# ---- and when they fail

PIPELINE = "tzx.components.pipeline --config x.config --export_dir bundle"
DLC = "torchx run -s pai_dlc -cfg region=cn-hangzhou,quota=q"
AWS = "flavor=aws,application=00f1,role=arn:aws:iam::123456789012:role/tzx,staging=s3://bucket/tzx,region=us-east-1"
FAILURES = [
    ("kubernetes.md", "no Kubernetes cluster is configured", "torchx run -s kubernetes -cfg image=x utils.echo"),
    ("kubernetes.md", "no image; give the component --image", f"torchx run -s kubernetes {TRAIN}"),
    (
        "slurm.md",
        "sbatch is not installed here",
        'PATH=$(dirname "$(command -v torchx)") torchx run -s slurm utils.echo',
    ),
    ("emr.md", "YARN does not answer", "torchx status emr://torchx/application_1700000000000_0001"),
    ("emr.md", "AWS refuses: Unable to locate credentials", f"torchx run -s emr -cfg {AWS} {TRAIN}"),
    (
        "emr.md",
        "which region?",
        f"torchx run -s emr -cfg flavor=serverless,workspace=w,queue=q,release=r,staging=/tmp {TRAIN}",
    ),
    ("pai_dlc.md", "workspace=''", f"{DLC},image=x {TRAIN}"),
    ("pai_dlc.md", "which image?", f"{DLC},workspace=1 {TRAIN}"),
    (
        "pai_dlc.md",
        "the request has ... bytes, DLC takes 65,536; the largest parts: ...",
        f"{DLC},workspace=1,image=x {TRAIN} --env A=$(printf '%070000d' 0)",
    ),
    (
        "kubernetes.md",
        "--config ...: no such file",
        "torchx run -s kubernetes tzx.components.train --config /m/x.config",
    ),
    ("pai_dlc.md", "--config ...: no such file", "torchx run -s pai_dlc tzx.components.train --config /mnt/x.config"),
    ("components.md", "-j 1:4x8: the number of nodes of a pipeline is fixed", f"torchx run {PIPELINE} -j 1:4x8"),
    ("local.md", 'did you mean "num_epochs"?', f"torchx run {TRAIN} --set train_config.num_epoch=1"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "message", "command"), FAILURES, ids=[message[:30] for _, message, _ in FAILURES])
def test_a_failure_says_what_the_page_says(page: str, message: str, command: str, reader: Reader) -> None:
    assert message in (LAUNCH / page).read_text()
    (reader.work / ".torchxconfig").write_text(f"[cli:run]\nworkspace =\n{PROFILES['emr']}\n")
    printed = asked(reader, command)
    assert re.search(loosened(message), printed) and "Traceback" not in printed, printed
