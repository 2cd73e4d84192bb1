"""Sharded on one, two and four processes, feature groups and their optimizers give what an unsharded float64 one gives.

Covers what is silently wrong when TorchRec is used without care: the order of columns in a KeyedTensor depends on the
sharding, initializers see placeholders of tables elsewhere, and states hide among a kernel's parameters.
"""

import json
import os
from pathlib import Path

import pytest
import warm

WORKER = Path(__file__).with_name("sharded_worker.py")
SHARDINGS = (
    "data_parallel", "table_wise", "column_wise", "table_column_wise", "row_wise", "table_row_wise", "grid_shard",
    "mixed",
)  # fmt: skip
SPLITS_COLUMNS = ("column_wise", "table_column_wise", "grid_shard")
OPTIMIZERS = (
    "sgd", "adagrad", "rowwise_adagrad", "adam", "partial_rowwise_adam", "lamb", "partial_rowwise_lamb", "lars_sgd",
)  # fmt: skip


def run(cases: list[str], world: int, local: int, meeting_point: Path) -> list[dict[str, dict[str, float]]]:
    """What each rank found: gaps by what was compared, by case."""
    environment = {**os.environ, "LOCAL_WORLD_SIZE": str(local)}  # TorchRec reads it
    ranks = [
        warm.Popen([WORKER, ",".join(cases), rank, world, local, meeting_point], environment) for rank in range(world)
    ]
    try:
        ends = [rank.communicate(timeout=300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, (_, errors) in zip(ranks, ends, strict=True):
        assert rank.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in ends]


def cases(soak: bool, world: int) -> list[str]:
    """Each sharding with an optimizer that FBGEMM has and with one that it lacks, each optimizer with two shardings."""
    if soak:
        return [f"{s}/{o}" for s in SHARDINGS for o in OPTIMIZERS] + ["half:row_wise/adam"]
    if world == 1:
        return ["table_wise/adam", "row_wise/adagrad", "mixed/lamb", "half:table_wise/adam"]
    if world == 4:
        return ["table_row_wise/adam", "table_column_wise/lamb", "grid_shard/rowwise_adagrad", "data_parallel/adam"]
    by_sharding = [f"{s}/{o}" for s in SHARDINGS for o in ("adagrad", "partial_rowwise_adam")]
    by_optimizer = [f"{s}/{o}" for o in OPTIMIZERS for s in ("data_parallel", "row_wise")]
    return [*dict.fromkeys(by_sharding + by_optimizer), "half:row_wise/sgd"]


@pytest.mark.slow
@pytest.mark.parametrize(("world", "local"), [(1, 1), (2, 2), (4, 2)])
def test_sharding_changes_nothing(world, local, tmp_path, request):
    wanted = cases(bool(request.config.option.soak), world)
    every = run(wanted, world, local, tmp_path / "meeting_point")
    for found in every:
        assert list(found) == wanted
        for case, gaps in found.items():
            # Halves are rounded, by FBGEMM stochastically.
            assert max(gaps.values()) < (2e-2 if case.startswith("half:") else 1e-6), (case, gaps)
    for case in wanted:
        was_cut = any(name.endswith("b_emb.weight, column 4") for found in every for name in found[case])
        assert was_cut == (world > 1 and case.split("/")[0] in SPLITS_COLUMNS), case
