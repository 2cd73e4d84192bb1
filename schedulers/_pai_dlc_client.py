"""PAI-DLC's service by its SDK: what is asked, and how the answers are read."""

import datetime as dates
import email.utils
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from . import _pai_dlc_options as options
from ._aliyun import NotFound, region, sdk, settings, translated
from ._pai_dlc_logs import MOST
from ._pai_dlc_request import DlcRequest
from ._remote_jobs import Facts, Replica

_SDK = "alibabacloud_pai_dlc20201203"
_STATES = {
    "PENDING": "creating created queuing bidding envpreparing sanitychecking dequeued pending",
    "RUNNING": "running restarting stopping",
    "SUCCEEDED": "succeeded succeededreserving",
    "FAILED": "failed failedreserving",
    "CANCELLED": "stopped",
}
_MEANING = {word: state for state, words in _STATES.items() for word in words.split()}
_WEEK = dates.timedelta(days=7)


class Service:
    """The service in a region."""

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        area = region(options.word(cfg, "region"))
        self._models = sdk(f"{_SDK}.models", "dlc")
        client = sdk(f"{_SDK}.client", "dlc")
        self._client = client.Client(settings("pai-dlc", area, options.word(cfg, "endpoint"), "dlc"))
        self.now = datetime.now(dates.timezone.utc)

    def submit(self, request: DlcRequest) -> str:
        """Starts a job; returns the service's id of it."""
        sent = self._models.CreateJobRequest().from_map(request.body)
        return str(self._ask("create_job", sent).job_id)

    def tensorboard(self, request: DlcRequest, app_id: str) -> str:
        """Starts a TensorBoard beside a job; returns its id."""
        asked = {**(request.tensorboard or {}), "JobId": app_id}
        sent = self._models.CreateTensorboardRequest().from_map(asked)
        return str(self._ask("create_tensorboard", sent).tensorboard_id)

    def facts(self, app_id: str) -> Facts | None:
        """What the service knows of a job."""
        try:
            return read_job(self.job(app_id))
        except NotFound:
            return None

    def job(self, app_id: str) -> Any:
        """The job as the service describes it."""
        return self._ask("get_job", app_id, self._models.GetJobRequest())

    def listed(self, workspace: str) -> list[Facts]:
        """All jobs of tzx in the workspace, oldest first."""
        found: list[Any] = []
        while True:
            asked = self._models.ListJobsRequest(
                workspace_id=workspace,
                tags={"tzx": "job"},
                page_number=len(found) // 100 + 1,
                page_size=100,
                sort_by="GmtCreateTime",
                order="desc",
            )
            page = self._ask("list_jobs", asked).jobs or []
            found += page
            if len(page) < 100:
                return [read_job(job) for job in reversed(found)]

    def stop(self, app_id: str) -> None:
        """Ends a job."""
        self._ask("stop_job", app_id)

    def pod_lines(self, app_id: str, pod: str, begin: datetime, end: datetime) -> Sequence[str]:
        """Lines of a pod in a window of time."""
        asked = self._models.GetPodLogsRequest(max_lines=MOST, start_time=_stamp(begin), end_time=_stamp(end))
        try:
            return [str(line) for line in self._ask("get_pod_logs", app_id, pod, asked).logs or []]
        except NotFound:  # it has not been started yet
            return []

    def _ask(self, method: str, *words: Any) -> Any:
        with translated():
            answer = getattr(self._client, method)(*words)
        stamp = {key.lower(): value for key, value in (answer.headers or {}).items()}.get("date")
        local = datetime.now(dates.timezone.utc)
        self.now = email.utils.parsedate_to_datetime(stamp).astimezone(dates.timezone.utc) if stamp else local
        return answer.body


def read_job(job: Any) -> Facts:
    """A job as GetJob and ListJobs give it."""
    specs = job.job_specs or []
    nodes = sum(int(spec.pod_count or 0) for spec in specs) or 1
    tags = (job.settings.tags if job.settings else None) or {}
    state = meaning(job.status)
    told = " ".join(f"{job.reason_code or ''} {job.reason_message or ''}".split())
    replicas = [_replica(index, pod, state) for index, pod in enumerate(pods(job))]
    return Facts(
        app_id=job.job_id,
        state=state,
        name=job.display_name or "",
        message=told[:500] if state in ("FAILED", "PENDING", "CANCELLED") else "",
        restarts=int(job.restart_times or 0) if str(job.restart_times or "0").isdigit() else 0,
        role=tags.get("tzx-role", "trainer"),
        nodes=nodes,
        replicas=tuple(replicas),
    )


def pods(job: Any) -> list[Any]:
    """The pods of a job in the order of its replicas; a master, which other tools make, comes first."""

    def place(pod: Any) -> tuple[bool, int]:
        number = re.search(r"-(\d+)$", pod.pod_id or "")
        return "master" not in (pod.pod_id or ""), int(number[1]) if number else 0

    return sorted((pod for pod in job.pods or [] if re.search(r"-(master|worker)-\d+$", pod.pod_id or "")), key=place)


def meaning(native: str | None) -> str:
    """The service's word for a state as TorchX's."""
    return _MEANING.get((native or "").lower(), "UNKNOWN")


def began(job: Any, now: datetime) -> datetime:
    """When a job may have written its first line."""
    try:
        found = datetime.fromisoformat(job.gmt_create_time.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        return now - _WEEK
    return found.replace(tzinfo=found.tzinfo or dates.timezone.utc)


def _replica(index: int, pod: Any, job: str) -> Replica:
    state = meaning(pod.status)
    if state == "UNKNOWN" or (job in ("FAILED", "CANCELLED") and state in ("PENDING", "RUNNING")):
        state = job
    told = f"{pod.pod_id} {pod.sub_status or pod.status}" if state == "FAILED" else ""
    return Replica(index, state, pod.node_name or pod.ip or "", told)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(dates.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
