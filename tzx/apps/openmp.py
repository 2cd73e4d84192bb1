"""How idle OpenMP threads wait, which must be settled before torch is imported."""

from collections.abc import MutableMapping

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Turns of a loop, some microseconds: about what lies between two operations of a training step.
_SPIN_COUNT = "500"


def set_wait_policy(env: MutableMapping[str, str]) -> None:
    """Let idle threads spin for a moment and then yield, unless the environment says otherwise.

    Yielding at once costs a step on two threads a quarter of its speed, as waking a thread takes longer than most
    operations. Spinning for long, OpenMP's default, costs it most of its speed on a machine that does anything else.

    Args:
        env: changed in place.
    """
    if not any(env.get(name) for name in _SETTINGS):
        env["GOMP_SPINCOUNT"] = _SPIN_COUNT
