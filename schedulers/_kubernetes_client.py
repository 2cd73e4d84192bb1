"""The API server: plain JSON over the official client, which brings credentials, certificates and proxies.

Whatever the server cannot do just now is asked again by urllib3; what it refuses becomes one line with a remedy.
"""

import functools
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ._kubernetes_pod import INSTANCE
from ._words import SchedulerError

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TIMEOUT = (None, 10, 60)  # seconds in all, to connect, and between two pieces of an answer
_AGAIN = (429, 500, 502, 503, 504)


class Refused(SchedulerError):
    """The server has answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """One cluster."""

    def __init__(self) -> None:
        self._client = _connect()

    def get(self, path: str, **query: object) -> dict[str, Any] | None:
        """An object or a list; None if there is no such thing, or no such kind of thing in this cluster."""
        try:
            return self._json("GET", path, query=query)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Makes an object; one that an earlier try has made, whose answer was lost, is taken."""
        try:
            return self._json("POST", path, body)
        except Refused as error:
            found = self.get(f"{path}/{body['metadata']['name']}") if error.status == 409 else None
            if found is None or _instance(found) != _instance(body):
                raise
            return found

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Changes fields of an object."""
        self._json("PATCH", path, body, content="application/merge-patch+json")

    def delete(self, path: str) -> bool:
        """Deletes an object and, before it, what it owns; returns whether it was there."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        try:
            self._json("DELETE", path, body)
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    def lines(self, path: str, **query: object) -> Iterator[bytes]:
        """Lines of an answer as they come, without their ends; the connection may break at any moment."""
        import urllib3

        response = self._call("GET", path, query=query)
        rest = b""
        try:
            for data in response.stream(1 << 16, decode_content=True):
                *whole, rest = (rest + data).split(b"\n")
                yield from whole
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionError(str(error)) from None
        finally:
            response.close()
        if rest:
            yield rest

    def _json(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: Mapping[str, object] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        response = self._call(method, path, body, query, content)
        try:
            return dict(json.loads(response.data))
        except ValueError:
            raise SchedulerError(f"{method} {path}: the answer is no JSON; is this a Kubernetes API server?") from None

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: Mapping[str, object] | None = None,
        content: str = "application/json",
    ) -> Any:
        import urllib3

        settings = self._client.configuration
        headers = {"Accept": "application/json, */*", "Content-Type": content, "User-Agent": self._client.user_agent}
        for found in settings.auth_settings().values():  # asked each time, as a token may have been renewed
            headers.update({found["key"]: found["value"]} if found.get("value") else {})
        words = urllib.parse.urlencode([(key, _text(value)) for key, value in (query or {}).items()])
        try:
            # Not by the client's own methods, which take other arguments in each of its versions.
            response = self._client.rest_client.pool_manager.request(
                method,
                f"{settings.host}{path}{'?' if words else ''}{words}",
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(*_TIMEOUT),
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise SchedulerError(
                f"the Kubernetes API server {settings.host} cannot be reached: {_reason(error)}"
            ) from None
        if response.status >= 300:
            raise _refusal(response)
        return response


@functools.lru_cache(maxsize=1)
def api() -> Api:
    """The cluster that kubectl would talk to."""
    return Api()


def current_namespace() -> str:
    """The namespace of the current context, found without the SDK so that a dry run needs none."""
    for path in (os.environ.get("KUBECONFIG") or _home()).split(os.pathsep):
        try:
            config = yaml.safe_load(Path(path).read_text()) or {}
        except (OSError, yaml.YAMLError):
            continue
        chosen = config.get("current-context")
        for entry in config.get("contexts") or ():
            if entry.get("name") == chosen and chosen:
                return str((entry.get("context") or {}).get("namespace") or "default")
    try:
        return _POD_NAMESPACE.read_text().strip() or "default"
    except OSError:
        return "default"


def _instance(found: dict[str, Any]) -> str | None:
    label = (found["metadata"].get("labels") or {}).get(INSTANCE)
    return None if label is None else str(label)


def _home() -> str:
    return os.path.expanduser("~/.kube/config")


def _connect() -> Any:
    try:
        import urllib3
        from kubernetes import client, config
    except ImportError:
        raise SchedulerError("kubernetes is not installed; install it with: pip install 'tzx[kubernetes]'") from None
    settings = client.Configuration()
    named = os.environ.get("KUBECONFIG") or _home()  # what the SDK takes by default is what was set at its import
    try:
        if any(os.path.exists(path) for path in named.split(os.pathsep)):
            config.load_kube_config(named, client_configuration=settings)
        else:
            config.load_incluster_config(client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        raise SchedulerError(f"no Kubernetes cluster is configured ({error}); set KUBECONFIG, or see kubectl") from None
    settings.retries = urllib3.Retry(
        total=6,
        backoff_factor=0.2,
        status_forcelist=_AGAIN,
        allowed_methods=None,  # all: what was created twice is noticed
        raise_on_status=False,
    )
    return client.ApiClient(settings)


def _refusal(response: Any) -> Refused:
    try:
        text = json.loads(response.data)["message"]
    except (ValueError, KeyError, TypeError):
        text = response.reason or "no reason given"
    remedy = {
        401: "; the credentials are missing or have run out: does `kubectl auth whoami` work?",
        403: "; ask the cluster's administrator, docs/launch/kubernetes.md has the rights that are needed",
    }.get(response.status, "")
    said = " ".join(str(text).split())
    return Refused(response.status, f"Kubernetes refuses ({response.status}): {said}{remedy}")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
