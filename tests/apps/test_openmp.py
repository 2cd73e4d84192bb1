"""The waiting of idle threads is tzx's choice only where the user has made none."""

import pytest

from tzx.apps.openmp import set_wait_policy


def test_idle_threads_spin_for_a_moment_by_default() -> None:
    env: dict[str, str] = {}
    set_wait_policy(env)
    assert env == {"GOMP_SPINCOUNT": "500"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_choice_of_the_user_stays(name: str) -> None:
    env = {name: "PASSIVE"}
    set_wait_policy(env)
    assert env == {name: "PASSIVE"}
