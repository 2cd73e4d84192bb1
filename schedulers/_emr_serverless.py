"""Flavor serverless: Alibaba's EMR Serverless Spark, by its SDK."""

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from . import _emr_options as options
from ._aliyun import region, settings, translated
from ._emr_request import DRIVER, SparkRequest, staged, start_job_run
from ._remote_jobs import Facts, NotFound, sdk

_SDK = "alibabacloud_emr_serverless_spark20230808"
_STATES = {
    "PENDING": "submitted pending starting queuing created",
    "RUNNING": "running cancelling stopping",
    "SUCCEEDED": "success succeeded finished",
    "FAILED": "failed timeout lost error",
    "CANCELLED": "cancelled canceled killed stopped",
}
_MEANING = {word: state for state, words in _STATES.items() for word in words.split()}
_PAGE = 1000


def body(request: SparkRequest) -> dict[str, Any]:
    """What the service is sent."""
    needed = options.needed(request.cfg, "workspace", "queue", "release", "staging")
    found: dict[str, Any] = {
        "name": request.name,
        "codeType": "PYTHON",
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": staged(needed[3], DRIVER),
                "entryPointArguments": [request.argument],
                "sparkSubmitParameters": shlex.join(request.submit_words()),
            }
        },
        "resourceQueueId": needed[1],
        "releaseVersion": needed[2],
        "tags": [{"key": key, "value": value} for key, value in request.tags.items()],
        "clientToken": hashlib.sha256(request.name.encode()).hexdigest()[:32],  # a repeated request starts one job
    }
    if seconds := int(request.cfg.get("max_seconds") or 0):
        found["executionTimeoutSeconds"] = seconds
    return found


def preview(request: SparkRequest) -> str:
    """The request as a text for people."""
    return start_job_run(request, body(request))


def submit(request: SparkRequest) -> str:
    """Puts the driver where the service finds it and starts the job; returns the service's id of it."""
    models = sdk(f"{_SDK}.models", "emr")
    client, area = _client(request.cfg)
    sent = models.StartJobRunRequest().from_map({**body(request), "regionId": area})
    staged(options.needed(request.cfg, "staging")[0], DRIVER, upload=True)
    with translated():
        return str(client.start_job_run(_workspace(request.cfg), sent).body.job_run_id)


def facts(app_id: str, cfg: Mapping[str, Any]) -> Facts | None:
    """What the service knows of a job."""
    try:
        return _facts(_get(app_id, cfg))
    except NotFound:
        return None


def listed(cfg: Mapping[str, Any]) -> list[Facts]:
    """All jobs of tzx in the workspace, oldest first."""
    models = sdk(f"{_SDK}.models", "emr")
    client, area = _client(cfg)
    found, token = [], None
    while True:
        tags = [models.ListJobRunsRequestTags(key="tzx", value="job")]
        asked = models.ListJobRunsRequest(region_id=area, max_results=100, next_token=token, tags=tags)
        with translated():
            answer = client.list_job_runs(_workspace(cfg), asked).body
        found += list(answer.job_runs or [])
        token = answer.next_token
        if not token:
            return [_facts(run) for run in sorted(found, key=lambda run: run.submit_time or 0)]


def cancel(app_id: str, cfg: Mapping[str, Any]) -> None:
    """Ends a job."""
    client, area = _client(cfg)
    with translated():
        client.cancel_job_run(_workspace(cfg), app_id, sdk(f"{_SDK}.models", "emr").CancelJobRunRequest(region_id=area))


class Log:
    """The driver's output, asked for from the line where the last answer ended."""

    def __init__(self, app_id: str, cfg: Mapping[str, Any]) -> None:
        self.app_id, self.cfg = app_id, cfg
        self._given = 0
        self._file = ""

    def lines(self, last: bool) -> Iterator[str]:
        """The lines that have come since the last call; the newest may be half written unless it is the last call."""
        if not self._file:
            log = _get(self.app_id, self.cfg).log
            self._file = (log and log.driver_std_out) or ""
        if not self._file:
            return
        client, area = _client(self.cfg)
        models = sdk(f"{_SDK}.models", "emr")
        while True:
            asked = models.ListLogContentsRequest(
                file_name=self._file, offset=self._given, length=_PAGE, region_id=area
            )
            try:
                with translated():
                    answer = client.list_log_contents(_workspace(self.cfg), asked).body.list_log_content
            except NotFound:  # nothing has been written yet
                return
            found = [content.line_content or "" for content in (answer and answer.contents) or []]
            full = len(found) >= _PAGE
            whole = found if last or full else found[:-1]
            self._given += len(whole)
            yield from (line.rstrip("\r\n") + "\n" for line in whole)
            if not full:
                return


def _client(cfg: Mapping[str, Any]) -> tuple[Any, str]:
    area = region(options.word(cfg, "region"))
    module = sdk(f"{_SDK}.client", "emr")
    return module.Client(settings("emr-serverless-spark", area, options.word(cfg, "endpoint"), "emr")), area


def _workspace(cfg: Mapping[str, Any]) -> str:
    return options.needed(cfg, "workspace")[0]


def _get(app_id: str, cfg: Mapping[str, Any]) -> Any:
    client, area = _client(cfg)
    with translated():
        asked = sdk(f"{_SDK}.models", "emr").GetJobRunRequest(region_id=area)
        found = client.get_job_run(_workspace(cfg), app_id, asked).body.job_run
    if found is None:
        raise NotFound(app_id)
    return found


def _facts(run: Any) -> Facts:
    tags = {tag.key or tag.tag_key: tag.value for tag in run.tags or []} if run.tags else {}
    reason = run.state_change_reason
    state = _MEANING.get((run.state or "").lower(), "UNKNOWN")
    told = (reason and reason.message) or ""
    return Facts(
        app_id=run.job_run_id,
        state=state,
        name=run.name or "",
        message=" ".join(told.split())[:500] if state in ("FAILED", "PENDING") else "",
        url=run.web_ui or "",
        role=tags.get("tzx-role", "trainer"),
        nodes=int(tags.get("tzx-nodes", 1)),
    )
