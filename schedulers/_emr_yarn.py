"""Flavor yarn: spark-submit in cluster mode from a gateway, then the ResourceManager's REST interface."""

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from . import _emr_options as options
from ._emr_request import DRIVER, GPUS, SparkRequest
from ._remote_jobs import Facts
from ._words import SchedulerError

_APPLICATION = re.compile(r"application_\d+_\d+")
_PENDING = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED")
_TIMEOUT = 30.0
_DIRECTORIES = ("/etc/taihao-apps/hadoop-conf", "/etc/ecm/hadoop-conf", "/etc/hadoop/conf")
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a cluster is not behind the web's proxy


def command(request: SparkRequest) -> list[str]:
    """The command line that submits."""
    tags = ",".join(["tzx", *(f"{key}={value}" for key, value in request.tags.items() if key != "tzx")])
    properties = {
        "spark.yarn.tags": tags,
        "spark.yarn.maxAppAttempts": "1",
        "spark.yarn.submit.waitAppCompletion": "false",
    }
    if "spark.executor.resource.gpu.amount" in request.properties:
        properties["spark.executor.resource.gpu.discoveryScript"] = f"./{GPUS.name}"
    properties = {**properties, **request.properties}
    files = ",".join(filter(None, [options.word(request.cfg, "files"), *([str(GPUS)] if _wants(properties) else [])]))
    ready = SparkRequest(request.name, "yarn", request.job, properties, request.tags, {**request.cfg, "files": files})
    queue = options.word(request.cfg, "queue")
    program = options.word(request.cfg, "spark_submit") or "spark-submit"
    where = ["--master", "yarn", "--deploy-mode", "cluster", *([f"--queue={queue}"] if queue else [])]
    return [program, *where, *ready.submit_words(), str(DRIVER), request.argument]


def preview(request: SparkRequest) -> str:
    """The command line as a text for people."""
    return shlex.join([word.replace(request.argument, "JOB") for word in command(request)])


def _wants(properties: Mapping[str, str]) -> bool:
    return properties.get("spark.executor.resource.gpu.discoveryScript") == f"./{GPUS.name}"


def submit(request: SparkRequest) -> str:
    """Runs spark-submit; returns YARN's id of the job."""
    words = command(request)
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    except OSError as error:
        raise SchedulerError(f"{words[0]}: {error.strerror}; run torchx on a gateway, or set spark_submit") from None
    if done.returncode:
        raise SchedulerError(f"spark-submit ended with {done.returncode}: {_last_words(done.stderr)}")
    found = _APPLICATION.search(done.stderr + done.stdout)
    if found:
        return found[0]
    for facts in listed(request.cfg, f"tzx-name={request.name}"):  # its log is silent here
        return facts.app_id
    raise SchedulerError(f"spark-submit named no application: {_last_words(done.stderr)}")


def facts(app_id: str, cfg: Mapping[str, Any]) -> Facts | None:
    """What YARN knows of a job."""
    try:
        answer = _ask(cfg, f"/ws/v1/cluster/apps/{app_id}")
    except _Unknown:
        return None
    return _facts(answer["app"])


def listed(cfg: Mapping[str, Any], tag: str = "tzx") -> list[Facts]:
    """All jobs of tzx that YARN remembers, oldest first."""
    answer = _ask(cfg, f"/ws/v1/cluster/apps?applicationTags={urllib.parse.quote(tag, safe='')}")
    apps = (answer.get("apps") or {}).get("app") or []
    return [_facts(app) for app in sorted(apps, key=lambda app: app.get("startedTime", 0))]


def cancel(app_id: str, cfg: Mapping[str, Any]) -> None:
    """Has YARN kill a job."""
    _ask(cfg, f"/ws/v1/cluster/apps/{app_id}/state", {"state": "KILLED"})


class Log:
    """The driver's output: from its node while it runs, from `yarn logs` when YARN has collected it."""

    def __init__(self, app_id: str, cfg: Mapping[str, Any]) -> None:
        self.app_id, self.cfg = app_id, cfg
        self._given = 0

    def lines(self, last: bool) -> Iterator[str]:
        """The lines that have come since the last call; one that is half written waits for the next."""
        new = self._read()[self._given :]
        whole = new if last else new[: new.rfind(b"\n") + 1]
        self._given += len(whole)
        yield from whole.decode(errors="replace").splitlines(keepends=True)

    def _read(self) -> bytes:
        app = _ask(self.cfg, f"/ws/v1/cluster/apps/{self.app_id}")["app"]
        parts = re.match(r"(https?://[^/]+)/node/containerlogs/([^/]+)/", app.get("amContainerLogs") or "")
        if parts:
            try:
                return _get(f"{parts[1]}/ws/v1/node/containerlogs/{parts[2]}/stdout")
            except (OSError, _Unknown):
                if app["state"] not in ("FINISHED", "FAILED", "KILLED"):
                    return b""  # the container is about to start
        return self._collected()

    def _collected(self) -> bytes:
        program = shutil.which("yarn")
        if program is None:
            return b""
        words = [program, "logs", "-applicationId", self.app_id, "-am", "1", "-log_files", "stdout"]
        done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL)
        text = done.stdout.partition(b"LogContents:\n")[2]
        return re.split(rb"\n?End of LogType:", text)[0]


class _Unknown(Exception):
    """The service knows nothing of this name."""


def _ask(cfg: Mapping[str, Any], path: str, change: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Asks the ResourceManagers in turn: one that only stands by does not answer with JSON."""
    trouble = ""
    for address in _addresses(cfg):
        try:
            return json.loads(_get(address + path, change) or b"{}")
        except (OSError, ValueError) as error:
            trouble += f"; {address}: {error}"
    raise SchedulerError(f"YARN does not answer{trouble}")


def _get(url: str, change: Mapping[str, str] | None = None) -> bytes:
    body = json.dumps(change).encode() if change else None
    headers = {"Accept": "*/*", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method="PUT" if change else "GET")
    try:
        with _OPEN.open(request, timeout=_TIMEOUT) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise _Unknown(url) from None
        if error.code in (401, 403):
            raise SchedulerError(f"YARN refuses {url}: {error.code} {error.reason}") from None
        raise


def _addresses(cfg: Mapping[str, Any]) -> list[str]:
    given = options.word(cfg, "resourcemanager")
    if given:
        return [address.rstrip("/") for address in re.split("[,;]", given)]
    for directory in (os.environ.get("YARN_CONF_DIR"), os.environ.get("HADOOP_CONF_DIR"), *_DIRECTORIES):
        file = Path(directory or "/nonexistent", "yarn-site.xml")
        if file.is_file() and (found := _from_site(file)):
            return found
    raise SchedulerError("where is YARN? -cfg resourcemanager=http://HOST:8088, or set HADOOP_CONF_DIR")


def _from_site(file: Path) -> list[str]:
    """Web addresses of the ResourceManagers that yarn-site.xml names."""
    root = ElementTree.parse(file).getroot()
    values = {entry.findtext("name", ""): entry.findtext("value", "") for entry in root.iter("property")}
    prefix = "yarn.resourcemanager"
    secure = values.get("yarn.http.policy") == "HTTPS_ONLY"
    scheme, kind, port = ("https", "https.", 8090) if secure else ("http", "", 8088)
    found = []
    for suffix in [f".{name.strip()}" for name in values.get(f"{prefix}.ha.rm-ids", "").split(",") if name] or [""]:
        host = values.get(f"{prefix}.hostname{suffix}", "")
        address = values.get(f"{prefix}.webapp.{kind}address{suffix}") or (f"{host}:{port}" if host else "")
        address = address.replace(f"${{{prefix}.hostname{suffix}}}", host).replace(f"${{{prefix}.hostname}}", host)
        found += [f"{scheme}://{address}"] if address else []
    return found


def _facts(app: Mapping[str, Any]) -> Facts:
    native, final = app["state"], app.get("finalStatus", "")
    if native in _PENDING:
        state = "PENDING"
    elif native == "RUNNING":
        state = "RUNNING"
    else:
        state = {"SUCCEEDED": "SUCCEEDED", "KILLED": "CANCELLED"}.get(final, "FAILED")
    tags = dict(tag.partition("=")[::2] for tag in (app.get("applicationTags") or "").split(","))
    told = " ".join((app.get("diagnostics") or "").split())
    return Facts(
        app_id=app["id"],
        state=state,
        name=app.get("name", ""),
        message=told[:500] if state in ("FAILED", "PENDING") else "",
        url=app.get("trackingUrl") or "",
        role=tags.get("tzx-role", "trainer"),
        nodes=int(tags.get("tzx-nodes", 1)),
    )


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"Exception|[Ee]rror|refused|denied", line)]
    return "; ".join((telling or lines)[-2:])[:1000]
