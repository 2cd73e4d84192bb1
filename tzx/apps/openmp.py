"""How idle OpenMP threads wait, which must be settled before torch is imported."""

from collections.abc import MutableMapping

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def set_wait_policy(env: MutableMapping[str, str]) -> None:
    """Let idle threads yield, unless the environment says otherwise.

    Spinning threads, OpenMP's default, cost a small model nine tenths of its speed on a machine that does anything
    else.

    Args:
        env: changed in place.
    """
    if not any(env.get(name) for name in _SETTINGS):
        env["OMP_WAIT_POLICY"] = "PASSIVE"
