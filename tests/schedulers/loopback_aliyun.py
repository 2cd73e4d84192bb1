"""Alibaba Cloud's API gateway on this machine: refuses requests whose signature is not that of the secret it knows.

The signature is computed here from the bytes of the request, after the published description of ACS3-HMAC-SHA256, and
not by the SDK's code.
"""

import hashlib
import hmac
import json
import re
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from loopback import Answer, Loopback

KEY, SECRET = "LTAI5tLoopback", "a-secret-of-the-tests"


def sign_with(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the SDK find a secret where its default chain looks first; it reads the environment once, on import."""
    for name, value in {"access_key_id": KEY, "access_key_secret": secret}.items():
        monkeypatch.setenv(f"ALIBABA_CLOUD_{name.upper()}", value)
        monkeypatch.setattr(f"alibabacloud_credentials.utils.auth_util.environment_{name}", value)


def signature(request: BaseHTTPRequestHandler, body: bytes, names: list[str]) -> str:
    """The signature that a request should have."""
    path, _, query = request.path.partition("?")
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def quote(text: str) -> str:
        return urllib.parse.quote(text, safe="-_.~")

    lines = [
        request.command,
        path,
        "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs),
        *(f"{name}:{request.headers[name].strip()}" for name in names),
        "",
        ";".join(names),
        hashlib.sha256(body).hexdigest(),
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return hmac.new(SECRET.encode(), f"ACS3-HMAC-SHA256\n{digest}".encode(), hashlib.sha256).hexdigest()


class LoopbackAliyun(Loopback):
    """Serves `answer(method, path, query, body)` to whoever can sign."""

    def __init__(self, answer: Callable[[str, str, dict[str, str], dict[str, Any]], Answer]) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer = answer
        super().__init__()

    def reply(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """What a request is answered."""
        status, found = self._reply(request, body)
        return status, {"RequestId": "r-1", **found}

    def _reply(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        given = re.fullmatch(
            r"ACS3-HMAC-SHA256 Credential=([^,]+),\s?SignedHeaders=([^,]+),\s?Signature=([0-9a-f]{64})",
            request.headers.get("Authorization", ""),
        )
        if not given or given[1] != KEY:
            return 403, {"Code": "InvalidAccessKeyId.NotFound", "Message": "Specified access key is not found."}
        names = given[2].split(";")
        signed = {"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-version"} <= set(names)
        if not signed or not hmac.compare_digest(given[3], signature(request, body, names)):
            return 403, {"Code": "SignatureDoesNotMatch", "Message": "The specified signature is not matched."}
        path, _, query = request.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        self.requests.append((request.command, path, asked, body))
        return self.answer(request.command, path, asked, json.loads(body) if body else {})
