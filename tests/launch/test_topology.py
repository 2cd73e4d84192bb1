import pytest

from tzx.launch.topology import Topology, parse_topology
from tzx.runtime.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected", "nnodes"),
    [
        ("1x1", Topology(1, 1, 1), "1"),
        ("2x8", Topology(2, 2, 8), "2"),
        ("4", Topology(1, 1, 4), "1"),
        ("1:4x8", Topology(1, 4, 8), "1:4"),
        (" 2x1 ", Topology(2, 2, 1), "2"),
        ("3:3x1", Topology(3, 3, 1), "3"),
    ],
)
def test_forms(text: str, expected: Topology, nnodes: str) -> None:
    assert parse_topology(text) == expected
    assert parse_topology(text).nnodes == nnodes


def test_only_one_process_is_single() -> None:
    assert [parse_topology(j).is_single for j in ("1x1", "1", "1x2", "2x1", "1:2x1")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [parse_topology(j).is_elastic for j in ("1x1", "2:2x1", "1:2x1")] == [False, False, True]


@pytest.mark.parametrize("text", ["", "x", "2x", "x2", "axb", "0x1", "1x0", "4:2x1", "-1x1", "1x1x1", "1.5x2", "2:x1"])
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(UserError, match="-j"):
        parse_topology(text)
