"""Python processes that have imported torch and tzx before they begin: they start in milliseconds instead of seconds.

`warm.Popen(["-m", "tzx.apps.train", ...])` is `subprocess.Popen([sys.executable, "-m", "tzx.apps.train", ...])` but for
that: the process is forked from one that has done the imports. For tests to which starting Python is not the point.
"""

import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [__name__, "tzx.runtime.training.jobs", "tzx.runtime.serving.export", "tzx.runtime.models.rank.deepfm"]
)


class Popen:
    """A running process; its output goes into files, so that nobody has to read while it runs."""

    def __init__(
        self, words: Sequence[object], env: Mapping[str, str] | None = None, cwd: str | Path | None = None
    ) -> None:
        self.args = [str(word) for word in words]
        self._folder = Path(tempfile.mkdtemp(prefix="warm-"))
        for name in ("out", "err"):
            (self._folder / name).touch()
        given = (self.args, dict(os.environ if env is None else env), str(cwd or Path.cwd()), self._folder)
        self._process = _context.Process(target=_become, args=given)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same, under subprocess's other name."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it is over."""
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def output(self) -> tuple[str, str]:
        """What it has written so far to stdout and to stderr."""
        out, err = ((self._folder / name).read_text(errors="replace") for name in ("out", "err"))
        return out, err

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for the end; stdout and stderr."""
        self._process.join(timeout)
        if self.poll() is None:
            self.kill()
            self._process.join()
            raise subprocess.TimeoutExpired(self.args, timeout or 0, *self.output())
        found = self.output()
        shutil.rmtree(self._folder, ignore_errors=True)
        return found


def run(
    words: Sequence[object],
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    timeout: float | None = 120,
) -> subprocess.CompletedProcess[str]:
    """Like subprocess.run with captured text."""
    process = Popen(words, env, cwd)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode or 0, out, err)


def ranks(words: Sequence[object], world: int, timeout: float = 120) -> list[subprocess.CompletedProcess[str]]:
    """Runs a job of several processes on this machine, each told its rank as torchrun would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    own = [{k: str(v) for k, v in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()} for rank in range(world)]
    processes = [Popen(words, {**os.environ, **env}) for env in own]
    try:
        outputs = [process.communicate(timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    ended = zip(processes, outputs, strict=True)
    return [subprocess.CompletedProcess(p.args, p.returncode or 0, out, err) for p, (out, err) in ended]


def _become(words: list[str], env: dict[str, str], cwd: str, folder: Path) -> None:
    """Runs in the new process: a script, `-m MODULE` or `-c CODE`, as Python itself would run it."""
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_APPEND), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    option = words[0] if words[0] in ("-m", "-c") else ""
    sys.argv = words[1:] if option == "-m" else [option or words[0], *words[2 if option else 1 :]]
    sys.path.insert(0, cwd if option else str(Path(words[0]).parent))
    if option == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif option == "-c":
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(words[0], run_name="__main__")
