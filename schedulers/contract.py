"""What every tzx scheduler promises to the replicas it starts, whatever the backend.

A replica finds where rank 0 listens in TZX_MASTER_ADDR and TZX_MASTER_PORT, its own number in TORCHX_REPLICA_IDX, and
how often its job has been restarted in TZX_RESTART_COUNT.
"""

import hashlib
import re
from collections.abc import Mapping

MASTER_ADDR = "TZX_MASTER_ADDR"
MASTER_PORT = "TZX_MASTER_PORT"
REPLICA = "TORCHX_REPLICA_IDX"
RESTARTS = "TZX_RESTART_COUNT"

# 2: the config or a flag is wrong, 65: the data is wrong, 126 and 127: the program cannot be started,
# 130: a person pressed Ctrl-C. Trying again would end the same way.
NEVER_RETRIED = frozenset({2, 65, 126, 127, 130})

_FIRST_PORT, _PORTS = 20000, 20000
_SECRET = re.compile(r"SECRET|TOKEN|PASSW|ACCESS_KEY|API_?KEY|PRIVATE|CREDENTIAL|_SK$|_AK$", re.IGNORECASE)


def derive_port(app_id: str) -> int:
    """A port for rank 0 that differs between jobs, so that two of them can share a host."""
    return _FIRST_PORT + int(hashlib.sha256(app_id.encode()).hexdigest(), 16) % _PORTS


def is_secret(name: str) -> bool:
    """Whether a variable of this name should not be shown or stored."""
    return _SECRET.search(name) is not None


def masked(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of env that is safe to print."""
    return {name: "***" if is_secret(name) else value for name, value in env.items()}
