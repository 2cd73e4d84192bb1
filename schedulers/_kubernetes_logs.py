"""The log of one replica: all its pods one after the other, each read to its end whatever happens to the connection.

The server puts the time before every line. After a break the log is asked for from the last second on, and the lines
that have been seen are left out by their time.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ._kubernetes_client import Api, Refused
from ._kubernetes_view import exit_code, finished
from ._local_logs import Window

_PAUSE = 1.0  # seconds before something is asked again
_WATCH = 20  # seconds that a question for changes stays open


@dataclass(frozen=True)
class Replica:
    """Whose log it is."""

    api: Api
    pods: str  # path of the namespace's pods
    selector: str
    mine: Callable[[dict[str, Any]], bool]
    over: Callable[[], bool]  # whether no more pods will come


def read(replica: Replica, window: Window) -> Iterator[str]:
    """Yields lines with their ends, of all pods the replica has had; follows what still runs."""
    seen: set[str] = set()
    while True:
        over = not window.follow or replica.over()  # asked before reading, so that nothing is missed
        for pod in _pods(replica):
            name = pod["metadata"]["name"]
            if name in seen or not _started(pod):
                continue
            seen.add(name)
            yield from _Reader(replica, name, window).lines()
            yield from _end_note(replica, name)
        if over:
            return
        if _until_reached(window):
            return
        _wait_for_change(replica)


class _Reader:
    """Reads the log of one pod."""

    def __init__(self, replica: Replica, name: str, window: Window) -> None:
        self._replica, self._path, self._window = replica, f"{replica.pods}/{name}", window
        self._last = ""  # time of the last line
        self._same = 0  # how many lines had it

    def lines(self) -> Iterator[str]:
        """All lines, through breaks of the connection."""
        while True:
            pod = self._replica.api.get(self._path)
            if pod is None:
                return
            over = not self._window.follow or finished(pod)
            try:
                for moment, text in self._new(over):
                    if self._window.until and moment > _stamp(self._window.until):
                        return
                    yield text
            except ConnectionError:
                over = False
            except Refused as error:
                if error.status == 404:
                    return
                if error.status != 400:  # the container waits to start
                    raise
            if over or _until_reached(self._window):
                return
            time.sleep(_PAUSE if not finished(pod) else 0.1)

    def _new(self, over: bool) -> Iterator[tuple[str, str]]:
        query: dict[str, object] = {"timestamps": True, "follow": not over}
        begin = self._last or (_stamp(self._window.since) if self._window.since else "")
        if begin:
            query["sinceTime"] = begin[:19] + "Z"
        skip = self._same
        for line in self._replica.api.lines(f"{self._path}/log", **query):
            moment, _, text = line.decode(errors="replace").partition(" ")
            key = _comparable(moment)
            if key < begin:
                continue
            if key == self._last and skip > 0:
                skip -= 1
                continue
            self._same = self._same + 1 if key == self._last else 1
            self._last = key
            yield key, f"{text}\n"


def _pods(replica: Replica) -> list[dict[str, Any]]:
    found = replica.api.get(replica.pods, labelSelector=replica.selector) or {"items": []}
    mine = [pod for pod in found["items"] if replica.mine(pod)]
    return sorted(mine, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")


def _started(pod: dict[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Running", "Succeeded", "Failed")


def _end_note(replica: Replica, name: str) -> Iterator[str]:
    """A line of our own between two tries."""
    pod = replica.api.get(f"{replica.pods}/{name}")
    code = exit_code(pod) if pod else None
    if code:
        yield f"tzx: {name} exited with {code}\n"


def _wait_for_change(replica: Replica) -> None:
    """Returns when a pod of the job has changed, or after a while."""
    listed = replica.api.get(replica.pods, labelSelector=replica.selector, limit=1) or {}
    version = (listed.get("metadata") or {}).get("resourceVersion", "0")
    query = {"labelSelector": replica.selector, "watch": True, "resourceVersion": version, "timeoutSeconds": _WATCH}
    began = time.monotonic()
    try:
        for line in replica.api.lines(replica.pods, **query):
            if json.loads(line).get("type") in ("ADDED", "MODIFIED", "DELETED", "ERROR"):
                break
    except (ConnectionError, ValueError):
        pass
    except Refused as error:
        if error.status != 410:  # that version is too old: the next look at all pods will do
            raise
    if time.monotonic() - began < _PAUSE:
        time.sleep(_PAUSE / 2)


def _until_reached(window: Window) -> bool:
    return window.until is not None and datetime.now(timezone.utc) > window.until.astimezone(timezone.utc)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _comparable(moment: str) -> str:
    """A time of the server, which leaves zeros at the end out, with all nine digits."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"
