"""Real backends that a test starts on this machine, as fixtures."""

import contextlib
import fcntl
import os
import random
import shutil
import socket
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_yarn import LoopbackYarn

ROOT = Path(__file__).parents[2]
SPARK = ROOT / ".venv-spark"
# Short runs: compiling for long ones would be most of the work.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two files of tests may run at a time, and find the same thing missing."""
    with open(Path(tempfile.gettempdir(), "tzx-tests.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def needs(what: str, program: str, *packages: str) -> None:
    """Makes Debian's packages be there, or skips loudly."""
    if shutil.which(program):
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"{what} NOT TESTED: there is no {program}, and no apt-get for this user")
    for words in (["update", "-qq"], ["install", "-y", "--no-install-recommends", *packages]):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(["apt-get", *words], env=env, capture_output=True, text=True, timeout=600)
        if done.returncode:
            pytest.skip(f"{what} NOT TESTED: apt-get {words[0]} failed: {done.stderr.strip()[-300:]}")


def processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and entry.parent.name != str(os.getpid()):
            found.append(command)
    return found


def slurm_port() -> int:
    """A port for the controller of a cluster of two nodes, which listen 100 and 101 above it.

    Those from 32768 on are what the system gives to anybody who asks for no port in particular.
    """
    while True:
        port = random.randint(20000, 32000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for each in (port, port + 100, port + 101):
                stack.enter_context(socket.socket()).bind(("", each))
            return port


@pytest.fixture(scope="module")
def slurm_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """slurm.conf of a running cluster."""
    if os.getuid() != 0:
        pytest.skip("SLURM NOT TESTED: a Slurm of its own needs root")
    with alone():
        needs("SLURM", "slurmctld", "slurm-wlm", "munge")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(
        ["bash", "scripts/start_slurm.sh", str(folder), "2", str(slurm_port())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    try:
        assert started.returncode == 0, started.stderr
        yield folder / "slurm.conf"
    finally:
        subprocess.run(["bash", "scripts/stop_slurm.sh", str(folder)], cwd=ROOT, timeout=120)
    assert processes_of(folder) == []
    assert str(folder) not in Path("/etc/hosts").read_text()


def spark_home() -> Path:
    """Spark, installed once in an environment of its own: it is as large as everything else together."""
    needs("SPARK", "java", "openjdk-17-jre-headless")
    if not (SPARK / "ready").is_file():
        venv.create(SPARK, with_pip=True)
        pip = [str(SPARK / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "pyspark>=4"], capture_output=True, text=True, timeout=600)
        if done.returncode:
            pytest.skip(f"SPARK NOT TESTED: pyspark cannot be installed here: {done.stderr.strip()[-300:]}")
        (SPARK / "ready").touch()
    return next(SPARK.glob("lib/python*/site-packages/pyspark"))


@pytest.fixture(scope="module")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackYarn]:
    """A YARN whose applications run on two executors of this machine."""
    with alone():
        home = spark_home()
    program = [str(home / "bin" / "spark-submit"), "--master", "local-cluster[2,1,1024]"]
    for name in ("driver", "executor"):
        program += ["--conf", f"spark.{name}.extraJavaOptions={JAVA}"]
    program += ["--conf", "spark.ui.enabled=false", "--driver-memory", "512m"]
    own = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LAUNCHER_OPTS": JAVA}
    found = LoopbackYarn(tmp_path_factory.mktemp("yarn"), program, {**os.environ, **own})
    yield found
    found.close()
