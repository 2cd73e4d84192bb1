"""pai_dlc: runs a job on Alibaba Cloud's PAI-DLC, by the official SDK.

The handle holds the service's id of the job. The service keeps no log to be followed: it is asked for windows of time
again and again (see _pai_dlc_logs.py).
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from torchx.schedulers.api import DescribeAppResponse, ListAppResponse, Scheduler, Stream
from torchx.schedulers.ids import make_unique
from torchx.specs import AppDef, AppDryRunInfo, runopts

from . import _pai_dlc_client as client
from . import _pai_dlc_options as options
from . import _remote_jobs as remote
from ._local_jobs import safe_name
from ._pai_dlc_logs import PodLog
from ._pai_dlc_request import DlcRequest, build_request
from ._plan import with_plan
from ._replicas import matching
from ._words import SchedulerError

logger = logging.getLogger(__name__)
BACKEND = "pai_dlc"
_AFTER = timedelta(seconds=60)  # the last lines of a job may arrive so late


class DlcScheduler(Scheduler[Mapping[str, Any]]):
    """TorchX scheduler for PAI-DLC; see the module's docstring."""

    def __init__(self, session_name: str) -> None:
        super().__init__(BACKEND, session_name)
        self._services: dict[str | None, client.Service] = {}

    def _run_opts(self) -> runopts:
        return options.declare()

    def _validate(self, app: AppDef, scheduler: str, *_: object) -> None:
        if len(app.roles) != 1:
            names = ", ".join(role.name for role in app.roles) or "none"
            raise SchedulerError(f"{app.name}: a DLC job has one role, this has {names}; run each as its own")
        role = app.roles[0]
        least = role.min_replicas
        if role.num_replicas < 1 or (least is not None and not 1 <= least <= role.num_replicas):
            raise SchedulerError(f"role {role.name}: {least or role.num_replicas} to {role.num_replicas} replicas")

    def _submit_dryrun(self, app: AppDef, cfg: Mapping[str, Any]) -> AppDryRunInfo[DlcRequest]:
        self._validate(app, BACKEND)
        name = make_unique(safe_name(app.name))
        return AppDryRunInfo(build_request(app, self.session_name, name, cfg), with_plan(app, DlcRequest.describe))

    def schedule(self, dryrun_info: AppDryRunInfo[DlcRequest]) -> str:
        """Submits the job; returns the service's id of it."""
        request = dryrun_info.request
        service = client.Service(request.cfg)
        app_id = service.submit(request)
        remote.remember(BACKEND, app_id, request.cfg)
        if request.tensorboard:
            try:
                logger.info("TensorBoard %s", service.tensorboard(request, app_id))
            except SchedulerError as error:
                logger.warning("the job runs, but there is no TensorBoard: %s", error)
        return app_id

    def describe(self, app_id: str) -> DescribeAppResponse | None:
        """State, reason and pods of a job, or None if the service does not know it."""
        facts = self._service(app_id).facts(app_id)
        return None if facts is None else remote.described(facts)

    def list(self, cfg: Mapping[str, Any] | None = None) -> list[ListAppResponse]:
        """All jobs of tzx in the workspace."""
        found = remote.settings(BACKEND, None, options.declare(), cfg)
        return [remote.listed(facts) for facts in client.Service(found).listed(options.workspace(found))]

    def _cancel_existing(self, app_id: str) -> None:
        service = self._service(app_id)
        facts = service.facts(app_id)
        if facts is not None and not facts.over:
            service.stop(app_id)

    def _delete_existing(self, app_id: str) -> None:
        self._cancel_existing(app_id)
        remote.forget(BACKEND, app_id)

    def log_iter(
        self,
        app_id: str,
        role_name: str,
        k: int = 0,
        regex: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        should_tail: bool = False,
        streams: Stream | None = None,
    ) -> Iterable[str]:
        """Lines of one replica; see Scheduler.log_iter."""
        if since or until:
            raise SchedulerError("logs of DLC jobs cannot be cut by time")
        if streams not in (None, Stream.COMBINED):
            raise SchedulerError("DLC keeps one log with both streams; leave --streams out")
        service = self._service(app_id)
        remote.check_log(service.facts(app_id), app_id, role_name, k)
        lines = remote.follow(_pod_lines(service, app_id, k), lambda: self._over(app_id), should_tail)
        return matching(regex, lines)

    def _over(self, app_id: str) -> bool:
        facts = self._service(app_id).facts(app_id)
        return facts is None or facts.over

    def _service(self, app_id: str) -> client.Service:
        if app_id not in self._services:
            self._services[app_id] = client.Service(remote.settings(BACKEND, app_id, options.declare()))
        return self._services[app_id]


def _pod_lines(service: client.Service, app_id: str, k: int) -> Callable[[bool], Iterator[str]]:
    """The lines of pod `k` since the last call, from when there is such a pod; see `remote.follow`."""
    logs: list[PodLog] = []

    def fetch(last: bool) -> Iterator[str]:
        job = service.job(app_id)
        if not logs and len(client.pods(job)) > k:
            pod = client.pods(job)[k].pod_id
            begin = client.began(job, service.now)
            logs.append(PodLog(lambda start, end: service.pod_lines(app_id, pod, start, end), begin))
        for log in logs:
            yield from log.lines(service.now + (_AFTER if last else timedelta(0)), last)

    return fetch


def create_scheduler(session_name: str, **_: object) -> DlcScheduler:
    """The factory that the entry point names."""
    return DlcScheduler(session_name)
