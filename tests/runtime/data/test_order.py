"""One order of rows for a rank, whatever makes the batches: workers or none, few or many batches ahead."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tzx.runtime.data import loader as module
from tzx.runtime.data.loader import DataLoader

Make = Callable[..., DataLoader]
Kit = Any

ALL = list(itertools.product((False, True), (1, 7, 512)))


@pytest.mark.slow
@pytest.mark.parametrize(("shuffle", "batch_size"), ALL)
def test_rows_come_in_one_order(
    tmp_path: Path,
    make_loader: Make,
    kit: Kit,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    shuffle: bool,
    batch_size: int,
) -> None:
    rows = 3 * batch_size + 20
    paths = kit.write_files(tmp_path, [rows // 3, 0, rows - rows // 3], group=16)
    config = kit.data_config(batch_size=batch_size, shuffle=shuffle, shuffle_buffer_size=2)
    workers = (0, 1, 2, 4) if request.config.option.soak or batch_size == 7 else (0, 2)
    orders = []
    for number, ahead in itertools.product(workers, (1, 4)):
        monkeypatch.setattr(module, "_AHEAD", ahead)
        loaders = [make_loader(paths, config, rank=rank, world_size=2, num_workers=number) for rank in (0, 1)]
        batches = [list(loader.epoch()) for loader in loaders]
        assert all(list(b.rows) == kit.rows_of([b]) for b in batches[0])  # rows carry their own numbers
        orders.append([kit.rows_of(of_rank) for of_rank in batches])
    assert all(order == orders[0] for order in orders)
    assert sorted(orders[0][0] + orders[0][1]) == list(range(rows))
