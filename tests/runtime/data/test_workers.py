"""Worker processes: the same batches as without them, errors that reach the consumer, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tzx.runtime.data import cores, loader
from tzx.runtime.data.batch import Batch
from tzx.runtime.data.cores import cores_for_me
from tzx.runtime.data.loader import DataLoader
from tzx.runtime.data.worker import warm_up
from tzx.runtime.data.workers import Worker, WorkerError, WorkerPool, useful_workers
from tzx.runtime.errors import DataError, TransientError
from tzx.runtime.features.arrays import FeatureData
from tzx.runtime.protos import data_pb2

Make = Callable[..., DataLoader]
Kit = Any

FEATURES = """
id_feature { feature_name: "row" expression: "user:row" num_buckets: 1000000000 embedding_dim: 4 }
raw_feature { feature_name: "x" expression: "item:x" }
sequence_id_feature { feature_name: "seq" expression: "user:seq" hash_bucket_size: 100 sequence_length: 9 }
"""


def write_rows(folder: Path, rows: int = 400) -> str:
    ids = np.arange(rows)
    seq = [";".join(str(i) for i in range(n % 5)) for n in ids]
    table = pa.table({"row": ids, "x": ids / 2, "seq": seq, "label": ids % 2})
    pq.write_table(table, folder / "a.parquet", row_group_size=50)
    return str(folder / "a.parquet")


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_do_not_depend_on_workers(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker], shuffle: bool
) -> None:
    path = write_rows(tmp_path)
    config = kit.data_config(batch_size=7, shuffle=shuffle, shuffle_buffer_size=3, fg_mode=2, sample_mask_prob=0.2)
    features = kit.feature_set(config, FEATURES)

    def epoch(number: int, **options: Any) -> list[Batch]:
        options = {"reserved_columns": ("row",), "seed": 4, "num_workers": number} | options
        return list(kit.loader(config, features, path, **options).epoch(2, options.pop("start", None)))

    alone = kit.bits(epoch(0))
    assert kit.bits(epoch(2)) == alone
    assert len(started) == 2
    assert kit.bits(epoch(1, mode="predict")) == kit.bits(epoch(0, mode="predict"))


def test_a_worker_takes_over_only_when_it_has_started(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    path = write_rows(tmp_path)
    began = time.perf_counter()
    epoch = make_loader(path, kit.data_config(batch_size=7), num_workers=1).epoch()
    next(epoch)
    first = time.perf_counter() - began
    rows = sum(b.size for b in epoch)
    assert rows == 393
    assert first < 5  # a process takes longer on a busy machine, and the first batch does not wait for it


@pytest.mark.parametrize("number", [0, 1])
def test_bad_data_is_told_alike(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker], number: int
) -> None:
    table = pa.table({"row": [str(i) for i in range(30)] + ["?"], "x": np.zeros(31), "label": [0] * 31})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    epoch = make_loader(str(tmp_path / "a.parquet"), kit.data_config(batch_size=8), num_workers=number).epoch()
    good = []
    with pytest.raises(DataError, match=r"feature 'row', column 'row' \(.*a\.parquet, row group 3, row 30\): '\?' is"):
        for batch in epoch:
            good.append(batch)
    assert kit.rows_of(good) == list(range(24))
    assert all(not kit.is_running(w.pid) for w in started)


def test_bad_data_that_the_loader_meets_waits_for_what_workers_still_make(
    tmp_path: Path, make_loader: Make, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"row": [str(i) for i in range(30)] + ["?"], "x": np.zeros(31), "label": [0] * 31})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    asked = []

    def free(pool: WorkerPool) -> Worker | None:
        asked.append(pool)
        worker = pool._workers[0]
        assert wait_for(lambda: worker.started)
        return worker if len(asked) < 4 else None

    monkeypatch.setattr(WorkerPool, "free", free)
    monkeypatch.setattr(WorkerPool, "capacity", 10)
    monkeypatch.setattr(Worker, "has_result", False)
    good = []
    with pytest.raises(DataError, match="row group 3, row 30"):
        for batch in make_loader(str(tmp_path / "a.parquet"), kit.data_config(batch_size=8), num_workers=1).epoch():
            good.append(batch)
    assert len(asked) == 4
    assert kit.rows_of(good) == list(range(24))


@pytest.mark.parametrize(("workers", "threads"), [(0, 1), (0, 2), (1, 1), (2, 1)])
def test_bad_values_are_counted_wherever_batches_are_made(
    tmp_path: Path, kit: Kit, started: list[Worker], workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "cores_for_me", lambda _: 2)
    texts = ["?" if i % 10 == 3 else str(i) for i in range(100)]
    table = pa.table({"row": texts, "x": ["1"] * 99 + ["y"], "label": [0] * 100})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    config = kit.data_config(batch_size=8, fg_mode=2, fg_threads=threads, bad_value_policy=data_pb2.BAD_VALUE_DEFAULT)
    data = kit.loader(config, kit.feature_set(config), str(tmp_path / "a.parquet"), num_workers=workers)
    seen = []
    for batch in data.epoch():
        seen.append((batch.size, data.bad_values["row"]))
    total = np.cumsum([size for size, _ in seen])
    # So many of the rows handed out, not of those that lie ready.
    assert [count for _, count in seen] == [sum(i % 10 == 3 for i in range(end)) for end in total]
    assert data.bad_values == {"row": 10, "x": 1}


BAD = """
import os
class Bad:
    def __init__(self, features):
        self.features, self.take_bad_values = features, features.take_bad_values
    def generate(self, record_batch, is_training=False):
        if os.getpid() != {parent}:
            {statement}
        return self.features.generate(record_batch, is_training)
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, DataLoader], DataLoader]]:
    """Gives a loader features, from a module on the path, that do what is asked in a worker."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(statement: str, data: DataLoader) -> DataLoader:
        name = f"bad_features_{abs(hash(statement))}"
        (tmp_path / f"{name}.py").write_text(BAD.format(parent=os.getpid(), statement=statement))
        features = __import__(name).Bad(data._transform.features)
        data._transform = replace(data._transform, features=features)
        return data

    yield make


def test_a_bug_in_a_worker_shows_its_traceback(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker], broken: Callable[[str, DataLoader], DataLoader]
) -> None:
    loader = make_loader(write_rows(tmp_path), kit.data_config(), num_workers=1)
    with pytest.raises(WorkerError, match=r"(?s)worker 0 failed:.*ZeroDivisionError: one over none") as caught:
        list(broken("raise ZeroDivisionError('one over none')", loader).epoch())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not kit.is_running(started[0].pid)


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("os.kill(os.getpid(), 9)", TransientError, r"worker 0 \(process \d+\) was killed; .*num_workers"),
        ("os._exit(7)", WorkerError, r"worker 0 \(process \d+\) ended with exit code 7"),
        ("os.abort()", WorkerError, r"ended by SIGABRT"),
    ],
)
def test_a_worker_that_dies_is_reported(
    tmp_path: Path,
    make_loader: Make,
    kit: Kit,
    started: list[Worker],
    broken: Callable[[str, DataLoader], DataLoader],
    statement: str,
    kind: type[Exception],
    message: str,
) -> None:
    loader = make_loader(write_rows(tmp_path), kit.data_config(), num_workers=1)
    with pytest.raises(kind, match=message):
        list(broken(statement, loader).epoch())


def test_closing_early_leaves_no_process(tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker]) -> None:
    epoch = make_loader(write_rows(tmp_path), kit.data_config(batch_size=4), num_workers=2).epoch()
    next(epoch)
    pids = [w.pid for w in started]
    assert len(pids) == 2
    assert all(kit.is_running(pid) for pid in pids)
    descriptors = len(os.listdir("/proc/self/fd"))
    epoch.close()  # type: ignore[attr-defined]
    assert not any(kit.is_running(pid) for pid in pids)
    assert len(os.listdir("/proc/self/fd")) < descriptors


def test_workers_stay_for_the_next_epoch_and_end_with_the_loader(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker]
) -> None:
    data = make_loader(write_rows(tmp_path), kit.data_config(batch_size=4), num_workers=2)
    assert [kit.rows_of(list(data.epoch(number))) for number in range(3)] == [list(range(400))] * 3
    assert len(started) == 2 and all(kit.is_running(w.pid) for w in started)
    data.close()
    assert not any(kit.is_running(w.pid) for w in started)
    assert kit.rows_of(list(data.epoch(3))) == list(range(400))
    assert len(started) == 4 and kit.is_running(started[3].pid)
    del data
    assert not any(kit.is_running(w.pid) for w in started)


def test_an_epoch_after_one_that_was_given_up_has_all_its_rows(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker]
) -> None:
    data = make_loader(write_rows(tmp_path), kit.data_config(batch_size=4), num_workers=2)
    epoch = data.epoch()
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert kit.rows_of(list(data.epoch())) == list(range(400))
    assert len(started) == 4


def test_batches_outlive_workers_and_hold_no_descriptors(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker]
) -> None:
    held = len(os.listdir("/proc/self/fd"))
    batches = list(make_loader(write_rows(tmp_path), kit.data_config(batch_size=2), num_workers=1).epoch())
    assert len(started) == 1
    assert len(os.listdir("/proc/self/fd")) <= held
    assert kit.rows_of(batches) == list(range(400))


PARENT = """
import json, sys
from tzx.runtime.data import workers
from tzx.runtime.data.loader import DataLoader, LoaderOptions
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos import data_pb2, feature_pb2

config = data_pb2.DataConfig(dataset_type=data_pb2.ParquetDataset, batch_size=2, label_fields=["label"])
feature = feature_pb2.FeatureConfig()
feature.id_feature.feature_name, feature.id_feature.num_buckets = "row", 1000
made, start = [], workers.Worker.__init__
def noted(self, *args):
    start(self, *args)
    made.append(self)
workers.Worker.__init__ = noted
loader = DataLoader(config, FeatureSet.from_config([feature], config), sys.argv[1], LoaderOptions(num_workers=2))
epoch = loader.epoch()
next(epoch)
while not all(w.started for w in made):
    pass
print(json.dumps([w.pid for w in made]), flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "number"),
    [
        ("sys.stdin.read()", signal.SIGKILL),  # killed while it waits
        ("sys.exit(3)", None),  # ends without closing the iterator
    ],
)
def test_workers_end_with_their_parent(tmp_path: Path, end: str, number: int | None, kit: Kit) -> None:
    path = write_rows(tmp_path)
    command = [sys.executable, "-c", PARENT.replace("{end}", end), path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())
        assert len(pids) == 2
        if number is not None:
            parent.send_signal(number)
        code = parent.wait(30)
    assert code == (3 if number is None else -number)
    assert wait_for(lambda: not any(kit.is_running(pid) for pid in pids))


def test_signals_to_the_whole_group_leave_workers_working(
    tmp_path: Path, make_loader: Make, kit: Kit, started: list[Worker]
) -> None:
    epoch = make_loader(write_rows(tmp_path), kit.data_config(batch_size=10), num_workers=1).epoch()
    first = next(epoch)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(started[0].pid, number)
    assert kit.rows_of([first, *epoch]) == list(range(400))


def test_a_worker_needs_no_torch() -> None:
    code = "import sys, tzx.runtime.data.worker, tzx.runtime.features; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("configured", "cores", "ready_made", "gpu", "number", "reason"),
    [
        (8, 1, False, False, 0, "the one core of this process leaves none"),
        (8, 2, False, False, 1, "num_workers is 8, but 2 cores are here"),
        (8, 4, False, False, 3, "num_workers is 8, but 4 cores are here"),
        (8, 64, False, False, 8, "num_workers is 8"),
        (8, 64, True, False, 0, "FG_NONE data needs no feature work"),
        (8, 64, True, True, 8, "num_workers is 8"),
        (0, 64, False, True, 0, "num_workers is 0"),
    ],
)
def test_how_many_workers(configured: int, cores: int, ready_made: bool, gpu: bool, number: int, reason: str) -> None:
    chosen, why = useful_workers(configured, cores, ready_made, gpu)
    assert (chosen, reason in why) == (number, True)


def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "_QUOTA", quota)
    assert cores_for_me(1) == 16
    quota.write_text("max 100000\n")
    assert cores_for_me(4) == 4
    quota.write_text("650000 100000\n")
    assert cores_for_me(1) == 6
    assert cores_for_me(8) == 1


def test_a_worker_makes_a_row_before_it_is_ready() -> None:
    made: list[pa.RecordBatch] = []

    class Features:
        def generate(self, batch: pa.RecordBatch, is_training: bool = False) -> dict[str, FeatureData]:
            made.append(batch)
            raise DataError("the value is missing and there is no default")

        def take_bad_values(self) -> dict[str, int]:
            return {}

    schema = pa.schema({"a": pa.string(), "b": pa.list_(pa.int64()), "c": pa.map_(pa.string(), pa.float32())})
    warm_up(Features(), schema)
    assert [batch.num_rows for batch in made] == [1] and made[0].schema == schema
