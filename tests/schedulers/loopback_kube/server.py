"""A Kubernetes API server on loopback: what the scheduler uses of one, in the way the real one answers.

Tokens, conflicts, missing things and missing kinds, lists by label, merge patches, deletion that cascades to what an
object owns, watches that run out of history, and logs that are followed in chunks. Faults are ordered by tests.
"""

import json
import re
import socket
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "a-token-of-the-test"
PREFIX = r"(?P<api>/api/v1|/apis/[^/]+/[^/]+)"
PATH = re.compile(
    PREFIX + r"(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>log|status))?"
)
KNOWN = {"/api/v1": {"pods", "services", "secrets", "configmaps"}, "/apis/batch/v1": {"jobs"}}
CUSTOM = {
    "/apis/batch.volcano.sh/v1alpha1": {"jobs"},
    "/apis/bus.volcano.sh/v1alpha1": {"commands"},
    "/apis/jobset.x-k8s.io/v1alpha2": {"jobsets"},
    "/apis/kubeflow.org/v1": {"pytorchjobs"},
}


def now() -> str:
    """The time as the server writes it, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp() -> str:
    """The time of a line of a log; zeros at the end are left out, as Go does it."""
    moment = f"{time.time_ns():019d}"
    fraction = moment[-9:].rstrip("0")
    whole = datetime.fromtimestamp(int(moment[:-9]), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


@dataclass
class Fault:
    """An answer that is not what was asked for."""

    method: str
    path: str
    status: int = 0  # 0: the connection is closed without an answer
    after: bool = False  # whether what was asked for is done before
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class Server:
    """State of the cluster, and the faults still to come."""

    def __init__(self, custom: bool = True) -> None:
        self.kinds = {**KNOWN, **(CUSTOM if custom else {})}
        self.objects: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[str]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.break_log_after: list[int] = []  # lines after which a log's connection breaks, one entry for each time
        self.forbidden: set[str] = set()  # patterns of paths the account may not use
        self.forgotten = 0  # versions up to this one cannot be watched from any more
        self.dropped_fields: set[str] = set()  # of a Job's spec: what an old server does not know
        self.version = 0
        self.changed = threading.Condition(threading.RLock())
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        """Ends it."""
        self.http.shutdown()
        self.http.server_close()

    # ---- the store; paths are as in requests

    def put(self, path: str, made: dict[str, Any], event: str = "MODIFIED") -> dict[str, Any]:
        """Writes an object and tells watchers."""
        with self.changed:
            self.version += 1
            made["metadata"]["resourceVersion"] = str(self.version)
            self.objects[path] = made
            self.events.append((self.version, event, json.loads(json.dumps(made))))
            self.changed.notify_all()
        return made

    def create(self, folder: str, made: dict[str, Any]) -> dict[str, Any]:
        """Makes an object."""
        meta = made["metadata"]
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        if folder.startswith("/apis/batch/v1"):
            for name in self.dropped_fields:
                made["spec"].pop(name, None)
        return self.put(f"{folder}/{meta['name']}", made, "ADDED")

    def remove(self, path: str) -> None:
        """Deletes an object and everything it owns."""
        with self.changed:
            gone = self.objects.pop(path, None)
            if gone is None:
                return
            self.version += 1
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.events.append((self.version, "DELETED", gone))
            uid = gone["metadata"]["uid"]
            for other, made in list(self.objects.items()):
                if any(owner["uid"] == uid for owner in made["metadata"].get("ownerReferences") or ()):
                    self.remove(other)
            self.changed.notify_all()

    def listed(self, match: re.Match[str], selector: str) -> list[dict[str, Any]]:
        """Objects of a kind with these labels."""
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        space = rf"/namespaces/{re.escape(match['ns'])}" if match["ns"] else r"/namespaces/[^/]+"
        pattern = re.compile(f"{re.escape(match['api'])}{space}/{match['plural']}/[^/]+")
        with self.changed:
            found = [made for path, made in self.objects.items() if pattern.fullmatch(path)]
        return [made for made in found if wanted.items() <= (made["metadata"].get("labels") or {}).items()]

    def write_log(self, pod: str, text: str) -> None:
        """Adds a line to the log of a pod."""
        with self.changed:
            self.logs.setdefault(pod, []).append(f"{stamp()} {text}")
            self.changed.notify_all()

    def find(self, plural: str) -> list[dict[str, Any]]:
        """All objects of this plural, for tests."""
        return [made for path, made in self.objects.items() if f"/{plural}/" in path]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(lambda match, query, body: self._get(match, query))

        def do_POST(self) -> None:
            self._answer(lambda match, query, body: self._post(match, body))

        def do_PATCH(self) -> None:
            self._answer(lambda match, query, body: self._patch(match, body))

        def do_DELETE(self) -> None:
            self._answer(lambda match, query, body: self._delete(match, body))

        def _answer(self, act: Callable[[re.Match[str], dict[str, str], Any], None]) -> None:
            url = urllib.parse.urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            server.requests.append((self.command, self.path, body))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._status(401, "Unauthorized")
            path = url.path
            fault = next((f for f in server.faults if f.method == self.command and re.search(f.path, path)), None)
            if fault is not None:
                server.faults.remove(fault)
                time.sleep(fault.delay)
                if not fault.after and (fault.status or not fault.delay):
                    return self._fail(fault)
            if any(re.search(pattern, path) for pattern in server.forbidden):
                return self._status(403, f'User "test" cannot do that: {path} is forbidden')
            match = PATH.fullmatch(path)
            if match is None or match["plural"] not in server.kinds.get(match["api"], set()):
                return self._text(404, "404 page not found\n")
            if fault is not None and fault.after:
                self.wfile, sink = _Sink(), self.wfile
                act(match, dict(urllib.parse.parse_qsl(url.query)), body)
                self.wfile = sink
                return self._fail(fault)
            act(match, dict(urllib.parse.parse_qsl(url.query)), body)

        def _fail(self, fault: Fault) -> None:
            if fault.status:
                return self._status(fault.status, "a fault of the test", **fault.headers)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _path(self, match: re.Match[str]) -> str:
            folder = f"{match['api']}/namespaces/{match['ns']}/{match['plural']}"
            return f"{folder}/{match['name']}" if match["name"] else folder

        def _get(self, match: re.Match[str], query: dict[str, str]) -> None:
            if match["sub"] == "log":
                return self._log(match, query)
            if match["name"]:
                found = server.objects.get(self._path(match))
                return self._json(200, found) if found else self._missing(match)
            if query.get("watch") == "true":
                return self._watch(match, query)
            items = server.listed(match, query.get("labelSelector", ""))
            self._json(200, {"metadata": {"resourceVersion": str(server.version)}, "items": items})

        def _post(self, match: re.Match[str], body: dict[str, Any]) -> None:
            path = f"{self._path(match)}/{body['metadata']['name']}"
            with server.changed:
                if path in server.objects:
                    return self._status(409, f'{match["plural"]} "{body["metadata"]["name"]}" already exists')
                if len(body["metadata"]["name"]) > 63:
                    return self._status(422, f'{match["plural"]} "{body["metadata"]["name"]}" is invalid: too long')
                made = server.create(self._path(match), body)
            self._json(201, made)

        def _patch(self, match: re.Match[str], body: dict[str, Any]) -> None:
            if self.headers.get("Content-Type") != "application/merge-patch+json":
                return self._status(415, "the media type is not supported")
            found = server.objects.get(self._path(match))
            if found is None:
                return self._missing(match)
            self._json(200, server.put(self._path(match), _merged(found, body)))

        def _delete(self, match: re.Match[str], body: dict[str, Any]) -> None:
            if self._path(match) not in server.objects:
                return self._missing(match)
            assert body["propagationPolicy"] == "Foreground"
            server.remove(self._path(match))
            self._status(200, "")

        def _watch(self, match: re.Match[str], query: dict[str, str]) -> None:
            version = int(query.get("resourceVersion", "0"))
            if version < server.forgotten:
                return self._status(410, "too old resource version")
            self._begin_chunks("application/json")
            end = time.monotonic() + min(float(query.get("timeoutSeconds", "30")), 2.0)
            while time.monotonic() < end:
                with server.changed:
                    news = [event for event in server.events if event[0] > version]
                    if not news:
                        server.changed.wait(0.05)
                for number, event, made in news:
                    version = number
                    folder = f"{match['plural']}"
                    if made.get("kind", "").lower() + "s" == folder:
                        self._chunk(json.dumps({"type": event, "object": made}).encode() + b"\n")
            self._chunk(b"")

        def _log(self, match: re.Match[str], query: dict[str, str]) -> None:
            path = self._path(match)
            pod = server.objects.get(path)
            if pod is None:
                return self._missing(match)
            name = match["name"]
            if pod["status"]["phase"] == "Pending":
                return self._status(400, f'container in pod "{name}" is waiting to start: ContainerCreating')
            limit = server.break_log_after.pop(0) if server.break_log_after else None
            self._begin_chunks("text/plain")
            for count, line in enumerate(self._log_lines(path, name, query)):
                if count == limit:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self._chunk(line.encode() + b"\n")
            self._chunk(b"")

        def _log_lines(self, path: str, name: str, query: dict[str, str]) -> Iterator[str]:
            position = 0
            while True:
                with server.changed:
                    pod = server.objects.get(path)
                    over = pod is None or pod["status"]["phase"] in ("Succeeded", "Failed")
                    lines = server.logs.get(name, [])[position:]
                    if not lines and not over and query.get("follow") == "true":
                        server.changed.wait(0.05)
                        continue
                position += len(lines)
                for line in lines:
                    moment, _, text = line.partition(" ")
                    if moment[:19] >= query.get("sinceTime", "")[:19]:
                        yield line if query.get("timestamps") == "true" else text
                if not lines and (over or query.get("follow") != "true"):
                    return

        # ---- answers

        def _missing(self, match: re.Match[str]) -> None:
            self._status(404, f'{match["plural"]} "{match["name"]}" not found')

        def _status(self, code: int, message: str, **headers: str) -> None:
            result = "Success" if code < 300 else "Failure"
            body = {"kind": "Status", "apiVersion": "v1", "status": result, "message": message, "code": code}
            self._send(code, json.dumps(body).encode(), "application/json", headers)

        def _json(self, code: int, body: Any) -> None:
            with server.changed:
                text = json.dumps(body).encode()
            self._send(code, text, "application/json", {})

        def _text(self, code: int, text: str) -> None:
            self._send(code, text.encode(), "text/plain", {})

        def _send(self, code: int, body: bytes, content: str, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in {"Content-Type": content, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def _begin_chunks(self, content: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    return Handler


class _Sink:
    """Takes an answer that gets lost."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass


def _merged(found: Any, patch: Any) -> Any:
    """A JSON merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    base = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = _merged(base.get(key), value)
    return base
