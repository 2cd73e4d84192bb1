"""A YARN of one machine: the REST interfaces that tzx uses, in front of processes that really run.

What `spark-submit --master yarn --deploy-mode cluster` is given is run as a process of its own with another master, or
as the driver without Spark. Killing works as a node manager does it: SIGTERM, a moment later SIGKILL.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Sends its arguments to the loopback YARN, and says what Spark's YARN client says.
SUBMIT = """#!{python} -S
import json, sys, urllib.request
body = json.dumps(sys.argv[1:]).encode("utf-8", "surrogatepass")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
answer = json.load(opener.open("{address}/submit", body))
if "error" in answer:
    sys.exit(answer["error"])
print("26/11/26 10:00:00 INFO YarnClientImpl: Submitted application " + answer["id"], file=sys.stderr)
"""


class LoopbackYarn:
    """Serves until it is closed."""

    def __init__(self, folder: Path, program: list[str], env: dict[str, str]) -> None:
        self.folder, self.program, self.env = folder, program, env
        self.apps: dict[str, dict[str, Any]] = {}
        self.refusal = ""
        self.log_gone = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.spark_submit = folder / "spark-submit"
        self.spark_submit.write_text(SUBMIT.format(python=sys.executable, address=self.address))
        self.spark_submit.chmod(0o755)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server and everything it has started."""
        for app in self.apps.values():
            self.kill(app)
        self._server.shutdown()
        self._server.server_close()

    def submit(self, argv: list[str]) -> dict[str, Any]:
        """What the ResourceManager does with a new application."""
        if self.refusal:
            return {"error": self.refusal}
        assert argv[:4] == ["--master", "yarn", "--deploy-mode", "cluster"]
        number = len(self.apps) + 1
        app_id = f"application_1700000000000_{number:04d}"
        tags = next(word for word in argv if word.startswith("spark.yarn.tags=")).partition("=")[2]
        name = next(word for word in argv if word.startswith("--name=")).partition("=")[2]
        work = self.folder / app_id
        work.mkdir()
        with open(work / "stdout", "wb") as out, open(work / "stderr", "wb") as err:
            process = subprocess.Popen(
                [*self.program, *argv[4:]], cwd=work, env=self.env, stdout=out, stderr=err, start_new_session=True
            )
        app = {"process": process, "tags": tags, "name": name, "argv": argv, "started": time.time(), "killed": False}
        self.apps[app_id] = {**app, "id": app_id, "work": work}
        return {"id": app_id}

    def kill(self, app: dict[str, Any]) -> None:
        """Ends the processes of an application."""
        if app["process"].poll() is None:
            app["killed"] = True
            for number in (signal.SIGTERM, signal.SIGKILL):
                for pid in self._session(app["process"].pid):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        continue
                time.sleep(0.25)
            app["process"].wait()

    @staticmethod
    def _session(leader: int) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                session = int(entry.read_text().rpartition(")")[2].split()[3])
            except OSError:
                continue
            if session == leader:
                found.append(int(entry.parent.name))
        return found

    def report(self, app: dict[str, Any]) -> dict[str, Any]:
        """An application as the ResourceManager describes it."""
        code = app["process"].poll()
        state = "RUNNING" if code is None else "KILLED" if app["killed"] else "FINISHED"
        final = {"RUNNING": "UNDEFINED", "KILLED": "KILLED"}.get(state, "FAILED" if code else "SUCCEEDED")
        told = f"User application exited with status {code}" if final == "FAILED" else ""
        container = app["id"].replace("application", "container") + "_01_000001"
        return {
            "id": app["id"],
            "name": app["name"],
            "state": state,
            "finalStatus": final,
            "diagnostics": told,
            "applicationTags": app["tags"],
            "trackingUrl": f"{self.address}/proxy/{app['id']}/",
            "startedTime": int(app["started"] * 1000),
            "amContainerLogs": f"{self.address}/node/containerlogs/{container}/me",
        }

    def answer(self, path: str, body: bytes) -> Any:
        """What an address answers: an object, bytes, or None for 404."""
        parts = urllib.parse.urlsplit(path)
        words = parts.path.strip("/").split("/")
        if words == ["submit"]:
            return self.submit(json.loads(body.decode("utf-8", "surrogatepass")))
        if words[:4] == ["ws", "v1", "node", "containerlogs"]:
            app_id = words[4].replace("container", "application").removesuffix("_01_000001")
            return None if self.log_gone else (self.apps[app_id]["work"] / words[5]).read_bytes()
        if words[:4] != ["ws", "v1", "cluster", "apps"]:
            return None
        if len(words) == 4:
            tag = urllib.parse.parse_qs(parts.query)["applicationTags"][0]
            found = [self.report(app) for app in self.apps.values() if tag in app["tags"].split(",")]
            return {"apps": {"app": found} if found else None}
        app = self.apps.get(words[4])
        if app is None:
            return None
        if words[5:] == ["state"]:
            assert json.loads(body) == {"state": "KILLED"}
            self.kill(app)
            return {"state": "KILLED"}
        return {"app": self.report(app)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        yarn = self

        class Handler(BaseHTTPRequestHandler):
            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = yarn.answer(self.path, body)
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _reply  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
