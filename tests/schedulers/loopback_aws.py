"""Amazon's EMR Serverless, S3 and CloudWatch on this machine, as far as tzx uses them, in front of processes that run.

Requests whose signature (Signature Version 4) is not that of the secret it knows are refused; the signature is computed
here from the bytes of the request, after the published description, and not by the SDK's code.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from aws_model import breaches
from loopback import Answer, Loopback

from tzx_schedulers._emr_aws import client

KEY, SECRET, REGION = "AKIALOOPBACK", "a-secret-of-the-tests", "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/tzx"
DRIVER = [sys.executable, str(Path(__file__).with_name("without_spark.py"))]
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/([^/]+)/aws4_request), "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


def sign_with(secret: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has boto3 find key, region and address where its default chain looks first."""
    given = {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": secret, "DEFAULT_REGION": REGION, "ENDPOINT_URL": endpoint}
    for name, value in {**given, "MAX_ATTEMPTS": "1", "EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client.cache_clear()


def signature(request: BaseHTTPRequestHandler, body: bytes, scope: str, names: list[str]) -> str:
    """The signature that a request should have."""
    path, _, query = request.path.partition("?")
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    asked = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in pairs)
    headers = [f"{name}:{' '.join(request.headers[name].split())}" for name in names]
    digest = hashlib.sha256(body).hexdigest()
    lines = [request.command, path, asked, *headers, "", ";".join(names), digest]
    told = ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256("\n".join(lines).encode())]
    key = f"AWS4{SECRET}".encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    text = "\n".join(word if isinstance(word, str) else word.hexdigest() for word in told)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def asked_for(method: str, words: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and parameters of the operation that a request to EMR Serverless stands for."""
    operation = {"POST": "StartJobRun", "DELETE": "CancelJobRun"}.get(
        method, "GetJobRun" if words[3:] else "ListJobRuns"
    )
    numbers = {name: int(value) if value.isdigit() and "Seconds" in name else value for name, value in query.items()}
    return operation, {"applicationId": words[1], **({"jobRunId": words[3]} if words[3:] else {}), **numbers, **body}


class LoopbackAws(Loopback):
    """Serves until it is closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, bytes] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.graces: list[int] = []  # seconds given to the runs that were cancelled
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__()

    def close(self) -> None:
        """Ends the server and everything it has started."""
        for number in self.runs:
            self.cancel(number, 0.25)
        super().close()

    def headers(self, found: dict[str, Any]) -> dict[str, str]:
        """The kind of an error stands above the answer."""
        return {"x-amzn-ErrorType": found.get("__type", "")}

    def log(self, number: str) -> str:
        """What the driver of a run has written."""
        return (self.folder / number / "stdout").read_text(errors="replace")

    # ---- EMR Serverless

    def start(self, body: dict[str, Any]) -> Answer:
        """A new run, unless the request is one that came before."""
        same = [number for number, run in self.runs.items() if run["clientToken"] == body["clientToken"]]
        number = same[0] if same else f"00f{len(self.runs) + 1}"
        if not same:
            spark = body["jobDriver"]["sparkSubmit"]
            if spark["entryPoint"].removeprefix("s3://") not in self.objects:
                return 400, {"__type": "ValidationException", "message": f"{spark['entryPoint']} does not exist"}
            (self.folder / number).mkdir(parents=True)
            with open(self.folder / number / "stdout", "wb") as out:
                self._processes[number] = subprocess.Popen(
                    [*DRIVER, *spark["entryPointArguments"]],
                    cwd=self.folder / number,
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self.runs[number] = {**body, "jobRunId": number, "createdAt": len(self.runs), "cancelled": False}
        return 200, {"applicationId": "00app", "jobRunId": number, "arn": "arn:aws:x"}

    def run(self, number: str) -> dict[str, Any]:
        """A run as the service describes it."""
        known = self.runs[number]
        code = self._processes[number].poll()
        over = "CANCELLED" if known["cancelled"] else "FAILED" if code else "SUCCESS"
        told = f"Job failed, please check logs. Exit code {code}" if over == "FAILED" else " "
        found = {"applicationId": "00app", "jobRunId": number, "id": number, "name": known["name"], "arn": "arn:aws:x"}
        found |= {"createdAt": known["createdAt"], "updatedAt": time.time(), "tags": known["tags"]}
        if code is not None:
            found["endedAt"] = known.setdefault("endedAt", time.time())
        return {**found, "state": known.get("state") or ("RUNNING" if code is None else over), "stateDetails": told}

    def cancel(self, number: str, grace: float) -> None:
        """SIGTERM to all processes of a run, later SIGKILL."""
        process = self._processes[number]
        if process.poll() is None:
            self.runs[number]["cancelled"] = True
            for which in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, which)
                end = time.monotonic() + grace
                while process.poll() is None and time.monotonic() < end:
                    time.sleep(0.02)
            process.wait()

    def emr(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        """Answers for applications/00app/jobruns."""
        words = path.strip("/").split("/")
        if words[:3] != ["applications", "00app", "jobruns"]:
            return 403, {"__type": "AccessDeniedException", "message": f"no access to {path}\nsecond line"}
        wrong = breaches("emr-serverless", *asked_for(method, words, query, body))
        if wrong:
            return 400, {"__type": "ValidationException", "message": "; ".join(wrong)}
        if len(words) == 3 and method == "POST":
            return self.start(body)
        if len(words) == 3:
            first = int(query.get("nextToken", "0"))
            page = [self.run(number) for number in self.runs][first : first + 2]
            for run in page:
                del run["tags"]  # a list does not tell them
            more = {"nextToken": str(first + 2)} if first + 2 < len(self.runs) else {}
            return 200, {"jobRuns": page, **more}
        if words[3] not in self.runs:
            return 404, {"__type": "ResourceNotFoundException", "message": "no such job run"}
        if method == "DELETE":
            self.graces.append(int(query["shutdownGracePeriodInSeconds"]))
            self.cancel(words[3], self.graces[-1] / 60)
        return 200, {"jobRun": self.run(words[3]), "jobRunId": words[3], "applicationId": "00app"}

    # ---- CloudWatch

    def logs(self, action: str, body: dict[str, Any]) -> Answer:
        """The stream of a run's driver; there is none before the first line."""
        wrong = breaches("logs", action, body)
        if wrong:
            return 400, {"__type": "InvalidParameterException", "message": "; ".join(wrong)}
        if body["logGroupName"] != "/aws/emr-serverless":
            return 400, {"__type": "ResourceNotFoundException", "message": "no such group"}
        if action == "DescribeLogStreams":
            number = body["logStreamNamePrefix"].strip("/").split("/")[-1]
            name = f"{body['logStreamNamePrefix']}SPARK_DRIVER/stdout"
            return 200, {"logStreams": [{"logStreamName": name}] if number in self.runs and self.log(number) else []}
        number = body["logStreamName"].split("/")[4]
        *lines, _ = self.log(number).split("\n")  # the last one is not whole yet
        first = int(body.get("nextToken", "f/0").removeprefix("f/"))
        page = [{"message": line, "timestamp": 1} for line in lines[first : first + 100]]
        return 200, {"events": page, "nextForwardToken": f"f/{first + len(page)}", "nextBackwardToken": "b/0"}

    # ---- the gateway

    def reply(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """What a request is answered."""
        given = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if given is None or given[1] != KEY:
            return 403, {"__type": "UnrecognizedClientException", "message": "The security token is invalid."}
        names = given[4].split(";")
        whole = {"host", "x-amz-date"} <= set(names)
        if not whole or not hmac.compare_digest(given[5], signature(request, body, given[2], names)):
            return 403, {"__type": "InvalidSignatureException", "message": "The request signature does not match."}
        path, _, query = request.path.partition("?")
        asked, service = dict(urllib.parse.parse_qsl(query)), given[3]
        self.requests.append((service, request.command, urllib.parse.unquote(path)))
        if service == "s3":
            self.objects[urllib.parse.unquote(path).lstrip("/")] = body
            return 200, {}
        found = json.loads(body) if body else {}
        if service == "logs":
            return self.logs(request.headers["X-Amz-Target"].rpartition(".")[2], found)
        return self.emr(request.command, urllib.parse.unquote(path), asked, found)
