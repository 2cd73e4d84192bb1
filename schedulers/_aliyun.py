"""What the schedulers for Alibaba Cloud share: SDKs that are there only if installed, credentials, and errors.

Credentials come from the SDK's own chain: environment, profile, role of the machine. tzx neither takes nor keeps any.
"""

import contextlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from ._remote_jobs import NotFound, sdk
from ._words import SchedulerError, plain

_REGION_VARIABLES = ("ALIBABA_CLOUD_REGION_ID", "ALIBABACLOUD_REGION_ID", "REGION_ID")


def region(given: str) -> str:
    """The region that was asked for, else the environment's."""
    found = given or next((os.environ[name] for name in _REGION_VARIABLES if os.environ.get(name)), "")
    if not re.fullmatch(r"[a-z0-9-]{1,40}", found):
        raise SchedulerError(f"which region? -cfg region=cn-hangzhou, or set {_REGION_VARIABLES[0]}")
    return found


def settings(service: str, area: str, endpoint: str, extra: str) -> Any:
    """The SDK's settings for a service: where it is and who asks.

    Args:
        service: first word of its public address.
        area: region.
        endpoint: another address, e.g. one inside a VPC; http:// if it has no TLS.
        extra: of tzx that has the SDK.
    """
    credentials = sdk("alibabacloud_credentials.client", extra)
    models = sdk("alibabacloud_tea_openapi.models", extra)
    address = urllib.parse.urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    host = plain(address.netloc, "endpoint") or f"{service}.{area}.aliyuncs.com"
    with translated():
        who = credentials.Client()
    return models.Config(credential=who, region_id=area, endpoint=host, protocol=address.scheme)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Makes the SDK's errors one line, and a name that is not known a NotFound."""
    try:
        yield
    except (SchedulerError, NotFound):
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("alibabacloud", "Tea", "darabonba", "requests", "urllib3")):
            raise
        if getattr(error, "statusCode", None) == 404 or "NotFound" in str(getattr(error, "code", "")):
            raise NotFound(str(error)) from None
        lines = str(getattr(error, "message", "") or error).split("\n")
        code = getattr(error, "code", "")
        told = lines[0] if not code or str(code) in lines[0] else f"{code}: {lines[0]}"
        raise SchedulerError(f"Alibaba Cloud refuses: {told[:1000]}") from None
