"""What Spark runs for a job: a barrier stage with one task per node, and in each task the job's own command line.

Notable: Spark's own TorchDistributor calls a failed run a success; this driver ends with the exit code of the node that
explains the failure. Every node holds a connection to the driver, where its output appears line by line, and by which
the others are stopped when one has failed. A keeper process on each node ends everything below it when Spark goes away.
The file is shipped as it is: it needs nothing but the standard library and pyspark.
"""

import base64
import contextlib
import ctypes
import json
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import Any

Job = dict[str, Any]
Result = dict[str, Any]
Place = tuple[str, int]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TELLING = (2, 65, 74, 75, 143)  # codes that say what happened; nodes that only lost their peer end with others
_SPARK_LOST = 75  # Spark ended the stage: an executor is lost, another attempt may have better luck
_POLL = 0.2
_NOTICE = 3.0  # seconds that nodes get to notice the failure of another by themselves: they often say more then


def decode(text: str) -> Job:
    """The job, from the one argument that the driver is given."""
    return dict(json.loads(zlib.decompress(base64.urlsafe_b64decode(text))))


def explain(results: list[Result]) -> Result | None:
    """The result that explains a failed attempt, or None if every node ended well."""
    failed = sorted((r for r in results if r["code"]), key=lambda r: r["ended"])
    own = [result for result in failed if not result["stopped"]] or failed
    telling = [result for result in own if result["code"] in _TELLING]
    return next(iter(telling or own), None)


# ---- in the driver


class Board:
    """Where the nodes report: prints their lines, and tells the others when one has failed."""

    def __init__(self, address: str, host: str) -> None:
        self.token = secrets.token_hex(16)
        self._server = socket.create_server((address, 0), backlog=64)
        self.place = (host, self._server.getsockname()[1])
        self._lock = threading.Lock()
        self._nodes: dict[int, socket.socket] = {}
        self._attempt = 0
        self._failed: int | None = None  # the node for which the others are stopped
        threading.Thread(target=self._accept, daemon=True).start()

    def say(self, text: str, node: int | None = None) -> None:
        """Prints a line: of a node, or of our own."""
        with self._lock:
            print(f"[{node}] {text}" if node is not None else f"tzx: {text}", flush=True)

    def heard_of(self, node: int) -> bool:
        """Whether the node has reached the driver in this attempt."""
        return node in self._nodes

    def clear(self) -> None:
        """Forgets the nodes of the last attempt."""
        with self._lock:
            self._nodes.clear()
            self._attempt += 1
            self._failed = None

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError), connection.makefile("rb") as messages:
            hello = json.loads(messages.readline(4096))
            if not secrets.compare_digest(str(hello["token"]), self.token):
                return
            node = int(hello["node"])
            with self._lock:
                self._nodes[node] = connection
                if self._failed is not None:  # it is late: another has failed already
                    connection.sendall(b"stop\n")
            for message in messages:
                self._take(node, json.loads(message))

    def _take(self, node: int, message: dict[str, Any]) -> None:
        if "line" in message:
            self.say(message["line"], node)
        elif message.get("exit"):
            timer = threading.Timer(_NOTICE, self._stop_others, (node, self._attempt))
            timer.daemon = True
            timer.start()

    def _stop_others(self, node: int, attempt: int) -> None:
        with self._lock:
            if attempt != self._attempt:
                return
            self._failed = node
            for other, connection in self._nodes.items():
                if other != node:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"stop\n")


def attempt(context: Any, board: Board, job: Job, number: int) -> tuple[int, str]:
    """Runs all nodes once; returns the exit code and what to say about it."""
    board.clear()
    task = barrier_task(job, board.place, board.token, number)
    nodes = job["nodes"]
    try:
        results = context.parallelize(range(nodes), nodes).barrier().mapPartitions(task).collect()
    except Exception as error:
        reasons = [line for line in str(error).splitlines() if line.strip()]
        return _SPARK_LOST, f"Spark ended the stage: {' '.join(reasons[:3])[:1000]}"
    for result in results:
        if not board.heard_of(result["node"]):
            board.say(f"replica {result['node']} could not reach the driver; its last lines:")
            for line in result["tail"]:
                board.say(line, result["node"])
    cause = explain(results)
    if cause is None:
        return 0, f"all {nodes} replicas are done"
    told = f": {cause['message']}" if cause["message"] else ""
    return cause["code"], f"replica {cause['node']} on {cause['host']} exited with {cause['code']}{told}"


def run(context: Any, board: Board, job: Job) -> int:
    """Runs the job, again after failures that may pass; returns its exit code."""
    for number in range(job["retries"] + 1):
        code, message = attempt(context, board, job, number)
        again = code and code not in job["final"] and number < job["retries"]
        board.say(f"{message}; restart {number + 1} of {job['retries']}" if again else message)
        if not again:
            break
        time.sleep(min(30, 2**number))
    return code


def main() -> None:
    """Reads the job from the command line, runs it, and ends with its exit code."""
    from pyspark import SparkConf, SparkContext

    job = decode(sys.argv[1])
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    context = SparkContext(conf=SparkConf())
    context.setLogLevel("ERROR")
    host = context.getConf().get("spark.driver.host")
    board = Board(context.getConf().get("spark.driver.bindAddress") or host, host)
    board.say(f"{job['name']} runs as {context.applicationId}")
    try:
        code = run(context, board, job)
    finally:
        context.stop()
    sys.exit(code)


# ---- on the nodes


def barrier_task(job: Job, place: Place, token: str, number: int) -> Callable[[Any], Iterator[Result]]:
    """The function that each task of the stage runs."""

    def task(_: Any) -> Iterator[Result]:
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        node = context.partitionId()
        host = context.getTaskInfos()[node].address.rsplit(":", 1)[0]
        nodes = [json.loads(text) for text in context.allGather(json.dumps([host, free_port()]))]
        me = {"node": node, "host": host, "token": token}
        env = environment(job, me, nodes[0], number)
        gpus = context.resources().get("gpu")
        if gpus:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus.addresses)
        yield keep(job, place, me, env)

    return task


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def environment(job: Job, me: dict[str, Any], first: list[Any], number: int) -> dict[str, str]:
    """The variables of a node's command: what every tzx scheduler promises, and the job's own."""
    env = dict(os.environ)
    env.pop("OMP_NUM_THREADS", None)  # Spark's own idea of it
    env["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), env.get("PATH", os.defpath)])
    env.setdefault("PYTHONUNBUFFERED", "1")
    address, port = first
    env.update({"TZX_MASTER_ADDR": address, "TZX_MASTER_PORT": str(port), "TORCHX_RANK0_HOST": address})
    node = str(me["node"])
    env.update({"TORCHX_REPLICA_IDX": node, "TZX_RESTART_COUNT": str(number), "TZX_LOCAL_ADDR": me["host"]})
    env.update({name: value.replace(job["replica"], node) for name, value in job["env"].items()})
    for name, path in job["secrets"].items():
        with open(path) as file:
            env[name] = file.read().rstrip("\n")
    return env


def keep(job: Job, place: Place, me: dict[str, Any], env: dict[str, str]) -> Result:
    """Runs the command below a keeper of its own, which outlives this worker long enough to clean up."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for descriptor in map(int, os.listdir("/proc/self/fd")):  # Spark must not think that its worker lives
                if descriptor > 2 and descriptor != writer:
                    with contextlib.suppress(OSError):
                        os.close(descriptor)
            result = Keeper(job, place, me, env).run()
            os.write(writer, json.dumps(result).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    lost = {"code": 137, "ended": time.time(), "stopped": False, "message": "its keeper was killed", "tail": []}
    return {"node": me["node"], "host": me["host"], **(json.loads(text) if text else lost)}


class Keeper:
    """Starts a node's command, passes its output on, and leaves nothing behind."""

    def __init__(self, job: Job, place: Place, me: dict[str, Any], env: dict[str, str]) -> None:
        self.job, self.me, self.env = job, me, env
        self.libc = ctypes.CDLL(None)
        self.stops = 0
        self.deadline = float("inf")
        self.tail: list[str] = []
        self.rest = b""
        os.setsid()
        signal.signal(signal.SIGTERM, self.stop)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        self.link: socket.socket | None = None
        with contextlib.suppress(OSError):
            self.link = socket.create_connection(place, timeout=30)
            self.link.settimeout(None)
        self.send({"token": me["token"], "node": me["node"]})

    def stop(self, *_: object) -> None:
        """Asks the command to save its work and leave."""
        self.stops += 1
        self.deadline = min(self.deadline, time.monotonic() + self.job["grace"])
        if self.stops == 1 and self.process.poll() is None:
            self.process.terminate()

    def run(self) -> Result:
        """Runs the command to its end; returns how it ended."""
        folder = tempfile.mkdtemp(prefix="tzx-")
        error_file = os.path.join(folder, "error.json")
        self.env.setdefault("TORCHELASTIC_ERROR_FILE", error_file)
        self.env.setdefault("PET_LOG_DIR", os.path.join(folder, "torchelastic"))
        try:
            code = self._command()
            return {
                "code": code,
                "ended": time.time(),
                "stopped": self.stops > 0,
                "message": _first_line_of(error_file),
                "tail": self.tail,
            }
        finally:
            self._kill_below()
            shutil.rmtree(folder, ignore_errors=True)

    def _command(self) -> int:
        argv = [word.replace(self.job["replica"], str(self.me["node"])) for word in self.job["argv"]]
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            self.process = subprocess.Popen(
                [shutil.which(argv[0], path=self.env["PATH"]) or argv[0], *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.job["cwd"] or None,
                preexec_fn=self._prepare,
            )
        except OSError as error:
            self._line(f"{argv[0]}: {error}".encode())
            code = 127 if isinstance(error, FileNotFoundError) else 126
            self.send({"exit": code})
            return code
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        assert self.process.stdout is not None
        self._watch(self.process.stdout.fileno())
        code = self.process.wait()
        code = 128 - code if code < 0 else code
        self.send({"exit": code})
        return code

    def _prepare(self) -> None:
        """Runs between fork and exec."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self.libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    def _watch(self, output: int) -> None:
        """Passes lines on and orders in, until the command is over and silent."""
        with selectors.DefaultSelector() as ready:
            ready.register(output, selectors.EVENT_READ)
            if self.link:
                ready.register(self.link, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select(_POLL):
                    if key.fd == output:
                        if not self._read(output):
                            return self._last_line()
                    else:  # an order to stop, or the driver is gone
                        ready.unregister(key.fileobj)
                        self.stop()
                if time.monotonic() > self.deadline:
                    self.process.kill()
                if self.process.poll() is not None and not ready.select(_POLL):
                    return self._last_line()  # what it has left behind may hold the pipe for ever

    def _read(self, output: int) -> bytes:
        data = os.read(output, 1 << 16)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        return data

    def _last_line(self) -> None:
        if self.rest:
            self._line(self.rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.tail = [*self.tail[-49:], text]
        self.send({"line": text})

    def send(self, message: dict[str, Any]) -> None:
        """Tells the driver; a driver that is gone is noticed elsewhere."""
        if self.link:
            with contextlib.suppress(OSError):
                self.link.sendall(json.dumps(message).encode() + b"\n")

    def _kill_below(self) -> None:
        for _ in range(50):
            found = list(_descendants(os.getpid()))
            for pid in found:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)
            if not found:
                return
            time.sleep(0.02)


def _first_line_of(error_file: str) -> str:
    try:
        with open(error_file) as file:
            message = json.load(file)["message"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    text = message.get("message") if isinstance(message, dict) else message
    return (str(text or "").strip().splitlines() or [""])[0]


def _descendants(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(name))
    pending = list(children.get(pid, ()))
    while pending:
        found = pending.pop()
        yield found
        pending.extend(children.get(found, ()))


if __name__ == "__main__":
    main()
