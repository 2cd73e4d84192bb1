"""What every tzx scheduler promises to the replicas it starts, whatever the backend.

A replica finds where rank 0 listens in TZX_MASTER_ADDR and TZX_MASTER_PORT, its own number in TORCHX_REPLICA_IDX, and
how often its job has been restarted in TZX_RESTART_COUNT. Where restarts are counted for each replica, TZX_RUN_ID is a
word that all of them share; where a host's name may not be known to the others, TZX_LOCAL_ADDR is its address.
"""

import hashlib
import re
from collections.abc import Mapping

MASTER_ADDR = "TZX_MASTER_ADDR"
MASTER_PORT = "TZX_MASTER_PORT"
REPLICA = "TORCHX_REPLICA_IDX"
RESTARTS = "TZX_RESTART_COUNT"
RUN = "TZX_RUN_ID"
LOCAL_ADDR = "TZX_LOCAL_ADDR"

# 2: the config or a flag is wrong, 65: the data is wrong, 126 and 127: the program cannot be started,
# 130: a person pressed Ctrl-C. Trying again would end the same way.
NEVER_RETRIED = frozenset({2, 65, 126, 127, 130})

_FIRST_PORT, _PORTS = 20000, 20000
_SECRET = re.compile(r"SECRET|TOKEN(?!IZ)|PASSW|ACCESS_KEY|API_?KEY|PRIVATE|CREDENTIAL|_SK$|_AK$", re.IGNORECASE)
# What a text may give away: the password of a URL, or the value after a telling name.
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*:)[^/\s@]+(?=@)")
_TOLD = re.compile(
    r"((?:secret|token(?!iz)|passw\w*|access_?key|api_?key)\w*[\"']?\s*[=:]\s*)"
    r"(?!secret://|//|[\"']?\*\*\*)[^\s,;&}]+",
    re.IGNORECASE,
)


def derive_port(app_id: str) -> int:
    """A port for rank 0 that differs between jobs, so that two of them can share a host."""
    return _FIRST_PORT + int(hashlib.sha256(app_id.encode()).hexdigest(), 16) % _PORTS


def is_secret(name: str) -> bool:
    """Whether a variable of this name should not be shown or stored."""
    return _SECRET.search(name) is not None


def masked(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of env that is safe to print."""
    return {name: "***" if is_secret(name) else value for name, value in env.items()}


def hidden(text: str) -> str:
    """The text with stars for what it gives away."""
    return _TOLD.sub(r"\1***", _PASSWORD.sub(r"\1***", text))


def reveals(text: str) -> bool:
    """Whether the text gives a password or key away."""
    return hidden(text) != text
