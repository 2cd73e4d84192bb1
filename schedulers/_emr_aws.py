"""Flavor aws: Amazon's EMR Serverless, by boto3, with the log of the driver in CloudWatch.

Credentials come from boto3's own chain: environment, profile, role of the machine. tzx neither takes nor keeps any.
"""

import contextlib
import datetime as dt
import functools
import math
import shlex
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from . import _emr_options as options
from ._emr_request import DRIVER, SparkRequest, staged, start_job_run
from ._remote_jobs import Facts, NotFound, sdk
from ._words import SchedulerError, plain, shortened

_STATES = {
    "PENDING": "SUBMITTED PENDING SCHEDULED QUEUED",
    "RUNNING": "RUNNING CANCELLING",
    "SUCCEEDED": "SUCCESS",
    "FAILED": "FAILED",
    "CANCELLED": "CANCELLED",
}
_MEANING = {word: state for state, words in _STATES.items() for word in words.split()}
_PREFIX = "tzx"  # of names, as a list of runs has no tags, and of log streams
_WEEK = 7 * 24 * 60  # minutes, the longest that batch jobs may run; the service's own default is half a day
_LATE = 15.0  # seconds after the end of a job in which CloudWatch may still get lines


def body(request: SparkRequest) -> dict[str, Any]:
    """What the service is sent."""
    application, role, staging = options.needed(request.cfg, "application", "role", "staging")
    _bucket(staging)
    if any(name.endswith("gpu.amount") for name in request.properties):
        raise SchedulerError("flavor=aws: Amazon's EMR Serverless has no GPUs")
    words = [word for key, value in _properties(request).items() for word in ("--conf", f"{key}={value}")]
    spark = {
        "entryPoint": staged(staging, DRIVER),
        "entryPointArguments": [request.argument],
        "sparkSubmitParameters": shlex.join(words),
    }
    logging = {
        "enabled": True,
        "logGroupName": _log_group(request.cfg),
        "logStreamNamePrefix": _PREFIX,
        "logTypes": {"SPARK_DRIVER": ["STDOUT"]},
    }
    return {
        "applicationId": application,
        "clientToken": request.name[:64],  # a repeated request starts one job
        "name": f"{_PREFIX}-{request.name}",
        "executionRoleArn": role,
        "jobDriver": {"sparkSubmit": spark},
        "configurationOverrides": {"monitoringConfiguration": {"cloudWatchLoggingConfiguration": logging}},
        "executionTimeoutMinutes": math.ceil(int(request.cfg.get("max_seconds") or 0) / 60) or _WEEK,
        "tags": request.tags,
    }


def _properties(request: SparkRequest) -> dict[str, str]:
    """Spark's properties; this service reads some options of spark-submit as properties only."""
    python = request.properties["spark.pyspark.python"]
    found = {
        "spark.app.name": request.name,
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": python,
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": python,
        "spark.executorEnv.PYSPARK_PYTHON": python,
    }
    for name in ("archives", "files"):
        if value := options.word(request.cfg, name):
            found[f"spark.{name}"] = value
    return {**found, **request.properties}


def preview(request: SparkRequest) -> str:
    """The request as a text for people."""
    return start_job_run(request, body(request))


def submit(request: SparkRequest) -> str:
    """Puts the driver where the service finds it and starts the job; returns the service's id of it."""
    sent = body(request)
    bucket, key = _bucket(sent["jobDriver"]["sparkSubmit"]["entryPoint"])
    with _translated():
        _client("s3", request.cfg).put_object(Bucket=bucket, Key=key, Body=DRIVER.read_bytes())
        return str(_client("emr-serverless", request.cfg).start_job_run(**sent)["jobRunId"])


def facts(app_id: str, cfg: Mapping[str, Any]) -> Facts | None:
    """What the service knows of a job."""
    try:
        return _facts(_get(app_id, cfg))
    except NotFound:
        return None


def listed(cfg: Mapping[str, Any]) -> list[Facts]:
    """All jobs of tzx in the application, oldest first."""
    with _translated():
        pages = _client("emr-serverless", cfg).get_paginator("list_job_runs").paginate(applicationId=_application(cfg))
        runs = [run for page in pages for run in page["jobRuns"] if run.get("name", "").startswith(f"{_PREFIX}-")]
    return [_facts(run) for run in sorted(runs, key=lambda run: run["createdAt"])]


def cancel(app_id: str, cfg: Mapping[str, Any]) -> None:
    """Ends a job, with time to save its work."""
    grace = max(15, min(1800, options.grace_seconds(cfg)))  # what the service allows
    with _translated():
        _client("emr-serverless", cfg).cancel_job_run(
            applicationId=_application(cfg), jobRunId=app_id, shutdownGracePeriodInSeconds=grace
        )


class Log:
    """The driver's output in CloudWatch, asked for from where the last answer ended."""

    def __init__(self, app_id: str, cfg: Mapping[str, Any]) -> None:
        self.app_id, self.cfg = app_id, cfg
        self._stream = ""
        self._token = ""

    def lines(self, last: bool) -> Iterator[str]:
        """The lines that have come since the last call; CloudWatch has whole lines only."""
        group, logs = _log_group(self.cfg), _client("logs", self.cfg)
        self._stream = self._stream or self._find(logs, group)
        while self._stream:
            more = {"nextToken": self._token} if self._token else {}
            with _translated():
                answer = logs.get_log_events(logGroupName=group, logStreamName=self._stream, startFromHead=True, **more)
            yield from (event["message"].rstrip("\r\n") + "\n" for event in answer["events"])
            if answer["nextForwardToken"] == self._token:
                return
            self._token = answer["nextForwardToken"]

    def _find(self, logs: Any, group: str) -> str:
        """The name of the driver's stream, or an empty text as long as there is none."""
        prefix = f"{_PREFIX}/applications/{_application(self.cfg)}/jobs/{self.app_id}/"
        try:
            with _translated():
                found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
        except NotFound:  # the group is made with the first line
            return ""
        names = [str(stream["logStreamName"]) for stream in found]
        return next((name for name in names if "SPARK_DRIVER" in name), "")


def _client(service: str, cfg: Mapping[str, Any]) -> Any:
    endpoint = options.word(cfg, "endpoint") if service == "emr-serverless" else ""
    return client(service, options.word(cfg, "region"), endpoint)


@functools.lru_cache(maxsize=16)
def client(service: str, area: str, endpoint: str) -> Any:
    """A client of a service; making one takes a tenth of a second, and several threads may share it."""
    sessions = sdk("boto3.session", "aws")
    with _translated():
        return sessions.Session(region_name=area or None).client(service, endpoint_url=endpoint or None)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Makes the SDK's errors one line, and what is not there a NotFound."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("botocore", "boto3")) and not isinstance(error, ValueError):
            raise
        told = getattr(error, "response", {}).get("Error", {})
        if told.get("Code") == "ResourceNotFoundException":
            raise NotFound(str(error)) from None
        text = f"{told['Code']}: {told.get('Message', '')}" if told.get("Code") else str(error)
        raise SchedulerError(f"AWS refuses: {' '.join(text.split())[:1000]}") from None


def _bucket(address: str) -> tuple[str, str]:
    """Bucket and key of an address in S3."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise SchedulerError(f"staging={shortened(address)}: flavor=aws needs a directory in S3, as s3://bucket/tzx")
    return parts.netloc, parts.path.lstrip("/")


def _application(cfg: Mapping[str, Any]) -> str:
    return options.needed(cfg, "application")[0]


def _log_group(cfg: Mapping[str, Any]) -> str:
    return plain(options.word(cfg, "log_group") or "/aws/emr-serverless", "log_group")


def _get(app_id: str, cfg: Mapping[str, Any]) -> dict[str, Any]:
    with _translated():
        emr = _client("emr-serverless", cfg)
        return dict(emr.get_job_run(applicationId=_application(cfg), jobRunId=app_id)["jobRun"])


def _facts(run: Mapping[str, Any]) -> Facts:
    tags = run.get("tags") or {}
    state = _MEANING.get(run["state"], "UNKNOWN")
    ended = run.get("endedAt")
    return Facts(
        app_id=str(run.get("jobRunId") or run["id"]),
        state=state,
        name=run.get("name", "").removeprefix(f"{_PREFIX}-"),
        message=" ".join(run.get("stateDetails", "").split())[:500] if state in ("FAILED", "PENDING") else "",
        role=tags.get("tzx-role", "trainer"),
        nodes=int(tags.get("tzx-nodes", 1)),
        settled=ended is None or dt.datetime.now(dt.timezone.utc) - ended > dt.timedelta(seconds=_LATE),
    )
