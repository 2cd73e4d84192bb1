from collections.abc import Iterator

import pyarrow as pa
import pytest

from tzx.runtime.data.memory import use_thrifty_pool

needs_both = pytest.mark.skipif(
    not {"mimalloc", "jemalloc"} <= set(pa.supported_memory_backends()), reason="a build of Arrow with one of them only"
)


@pytest.fixture(autouse=True)
def usual_pool() -> Iterator[None]:
    before = pa.default_memory_pool()
    yield
    pa.set_memory_pool(before)


@needs_both
@pytest.mark.parametrize(
    ("first", "env", "expected"),
    [
        ("mimalloc", {}, "jemalloc"),
        ("mimalloc", {"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc"),
        ("system", {}, "system"),
    ],
)
def test_the_pool_is_replaced_where_nobody_has_chosen_it(first: str, env: dict[str, str], expected: str) -> None:
    pa.set_memory_pool(getattr(pa, f"{first}_memory_pool")())
    use_thrifty_pool(env)
    assert pa.default_memory_pool().backend_name == expected
