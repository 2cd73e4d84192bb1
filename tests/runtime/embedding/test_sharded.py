"""Sharded by TorchRec on one and on two processes, feature groups give what they give unsharded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("sharded_worker.py")


def run(shardings: str, world: int, meeting_point: Path) -> list[dict[str, dict[str, dict[str, float]]]]:
    """What each rank found: gaps by output, by moment, by sharding type."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(WORKER), shardings, str(rank), str(world), str(meeting_point)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(world)
    ]
    try:
        ends = [rank.communicate(timeout=300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, (_, errors) in zip(ranks, ends, strict=True):
        assert rank.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in ends]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shardings", "world"),
    [("table_wise,row_wise", 1), ("table_wise,row_wise,column_wise,data_parallel", 2)],
)
def test_sharding_changes_nothing(shardings: str, world: int, tmp_path: Path) -> None:
    for found in run(shardings, world, tmp_path / "meeting_point"):
        assert list(found) == shardings.split(",")
        for sharding, moments in found.items():
            for moment, gaps in moments.items():
                if moment == "after a step":  # FBGEMM rounds updates of half tables stochastically
                    assert gaps.pop("half") < 2e-2, sharding
                assert max(gaps.values()) < 1e-6, (sharding, moment, gaps)
