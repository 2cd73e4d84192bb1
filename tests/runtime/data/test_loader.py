"""What the loader promises: every row once, one order, resuming anywhere, and what a batch holds."""

import gc
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tzx.runtime.data import loader
from tzx.runtime.data.loader import DataLoader, LoaderOptions
from tzx.runtime.data.plan import merge_positions
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.protos import data_pb2

Make = Callable[..., DataLoader]
Kit = Any


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(sum),
    group=st.integers(1, 12),
    world=st.integers(1, 4),
    batch_size=st.integers(1, 20),
    shuffle=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_comes_once_and_any_batch_is_a_place_to_resume(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    group: int,
    world: int,
    batch_size: int,
    shuffle: bool,
    kit: Kit,
) -> None:
    paths = kit.write_files(tmp_path_factory.mktemp("rows"), sizes, group)
    config = kit.data_config(batch_size=batch_size, shuffle=shuffle, shuffle_buffer_size=2)
    features = kit.feature_set(config)
    seen = []
    for rank in range(world):
        options = LoaderOptions(rank=rank, world_size=world, num_workers=0, seed=3)
        loader = DataLoader(config, features, paths, options)
        assert loader.num_rows == sum(sizes)
        batches = list(loader.epoch())
        assert all(b.size == batch_size for b in batches[:-1])
        if not shuffle:
            assert kit.rows_of(batches) == sorted(kit.rows_of(batches))
        for number, batch in enumerate(batches):
            rest = list(loader.epoch(0, batch.position))
            assert kit.rows_of(rest) == kit.rows_of(batches[number + 1 :])
            assert [b.position for b in rest] == [b.position for b in batches[number + 1 :]]
        seen += kit.rows_of(batches)
    assert sorted(seen) == list(range(sum(sizes)))


@pytest.mark.parametrize("shuffle", [False, True])
def test_another_world_size_takes_up_what_is_left(tmp_path: Path, make_loader: Make, shuffle: bool, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [40, 0, 61])
    config = kit.data_config(batch_size=4, shuffle=shuffle, shuffle_buffer_size=3)
    seen: list[int] = []
    position: dict[str, int] = {}
    for world, steps in ((2, 5), (1, 3), (4, 2), (2, None)):
        positions: list[object] = []
        for rank in range(world):
            epoch = make_loader(paths, config, rank=rank, world_size=world).epoch(0, position)
            batches = list(itertools.islice(epoch, steps))
            seen += kit.rows_of(batches)
            positions.append(batches[-1].position if batches else position)
        position = merge_positions(positions)  # type: ignore[arg-type]
    assert sorted(seen) == list(range(101))


def test_shuffling_follows_seed_and_epoch_and_only_in_training(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [50])
    config = kit.data_config(shuffle=True)

    def order(epoch: int = 0, **options: object) -> list[int]:
        return kit.rows_of(list(make_loader(paths, config, **options).epoch(epoch)))

    assert order(seed=1) == order(seed=1) != order(seed=2)
    assert order(0) != order(1)
    assert order(mode="eval") == order(mode="predict") == list(range(50))


def test_shuffling_decodes_a_large_row_group_once(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [1000], 1000)
    loader = make_loader(paths, kit.data_config(shuffle=True, shuffle_buffer_size=2))
    reads = []
    source = loader._reader.sources[0]
    plain = source.read
    source.read = lambda *args: reads.append(args) or plain(*args)
    assert sorted(kit.rows_of(list(loader.epoch()))) == list(range(1000))
    assert len(reads) == 1


def test_drop_remainder_is_for_training_only(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [25])
    config = kit.data_config(drop_remainder=True)
    sizes = {m: [b.size for b in make_loader(paths, config, mode=m).epoch()] for m in ("train", "eval", "predict")}
    assert sizes == {"train": [10, 10], "eval": [10, 10, 5], "predict": [10, 10, 5]}


def test_batch_sizes(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [25])
    config = kit.data_config(eval_batch_size=20)
    assert make_loader(paths, config).batch_size == 10
    assert make_loader(paths, config, mode="eval").batch_size == 20
    assert make_loader(paths, config, mode="predict").batch_size == 20
    assert make_loader(paths, config, mode="eval", batch_size=3).batch_size == 3
    assert make_loader(paths, kit.data_config(), mode="eval").batch_size == 10
    with pytest.raises(ConfigError, match="batch_size is 0"):
        make_loader(paths, kit.data_config(batch_size=0))


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_cut_by_cost(tmp_path: Path, make_loader: Make, shuffle: bool, kit: Kit) -> None:
    costs = np.random.default_rng(0).integers(0, 9, 100)
    costs[13] = 50  # more than the limit by itself
    table = pa.table({"row": np.arange(100), "x": np.zeros(100), "label": np.zeros(100, int), "cost": costs})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=30)
    config = kit.data_config(sample_cost_field="cost", batch_cost_size=20, shuffle=shuffle, shuffle_buffer_size=3)
    batches = list(make_loader(str(tmp_path / "a.parquet"), config).epoch())
    order = kit.rows_of(batches)
    expected, spent = [[]], 0
    for row in order:
        if expected[-1] and spent + costs[row] > 20:
            expected.append([])
            spent = 0
        expected[-1].append(row)
        spent += costs[row]
    assert [b.ids.values.tolist() for b in batches] == expected
    assert sorted(order) == list(range(100))
    rest = make_loader(str(tmp_path / "a.parquet"), config).epoch(0, batches[3].position)
    assert [b.ids.values.tolist() for b in rest] == expected[4:]


def test_a_cost_that_is_none_names_its_place(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    table = pa.table({"row": [1, 2, 3], "x": [0.0, 0, 0], "label": [0, 0, 0], "cost": [1.0, None, 2.0]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    config = kit.data_config(sample_cost_field="cost", batch_cost_size=20)
    with pytest.raises(DataError, match=r"a\.parquet, row group 0, row 1: sample cost 'cost' is None"):
        list(make_loader(str(tmp_path / "a.parquet"), config).epoch())


def test_labels_and_weights_by_type(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    table = pa.table(
        {
            "row": [0, 1, 2],
            "x": [0.0, 0, 0],
            "small": pa.array([1, 0, 1], pa.int8()),
            "flag": [True, False, True],
            "real": [0.5, 1.5, 2.5],
            "many": pa.array([[1, 2], [], [3]], pa.list_(pa.int32())),
            "parts": pa.array([[0.5], [1.5, 2], []], pa.large_list(pa.float64())),
            "weight": [1.0, 0.25, 4.0],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    labels = ["small", "flag", "real", "many", "parts"]
    config = kit.data_config(label_fields=labels, sample_weight_fields=["weight"])
    (batch,) = make_loader(str(tmp_path / "a.parquet"), config).epoch()
    assert {n: (t.dtype, t.tolist()) for n, t in batch.labels.items()} == {
        "small": (torch.int64, [1, 0, 1]),
        "flag": (torch.int64, [1, 0, 1]),
        "real": (torch.float32, [0.5, 1.5, 2.5]),
    }
    many, parts = batch.jagged_labels["many"], batch.jagged_labels["parts"]
    assert (many.values.tolist(), many.lengths.tolist(), many.values.dtype) == ([1, 2, 3], [2, 0, 1], torch.int64)
    assert (parts.values.tolist(), parts.lengths.tolist(), parts.values.dtype) == (
        [0.5, 1.5, 2],
        [1, 2, 0],
        torch.float32,
    )
    assert batch.sample_weights["weight"].tolist() == [1.0, 0.25, 4.0]
    assert batch.sample_weights["weight"].dtype == torch.float32


def test_predicting_needs_no_labels_and_keeps_columns(tmp_path: Path, make_loader: Make) -> None:
    table = pa.table({"row": range(12), "x": np.zeros(12), "note": [f"n{i}" for i in range(12)]})
    pq.write_table(table, tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    batches = list(make_loader(path, mode="predict", reserved_columns=("note", "row")).epoch())
    assert [b.labels for b in batches] == [{}, {}]
    kept = pa.Table.from_batches([b.reserved for b in batches])
    assert kept.column_names == ["note", "row"]
    assert kept["note"].to_pylist() == table["note"].to_pylist()
    for options in ({"all_columns": True}, {"reserved_columns": ("ALL_COLUMNS",)}):
        (first, _) = make_loader(path, mode="predict", **options).epoch()
        assert first.reserved.schema.names == ["row", "x", "note"]
    (first, _) = make_loader(path, mode="predict", reserved_columns=("ALL_EFFECTIVE_COLUMNS",)).epoch()
    assert first.reserved.schema.names == ["row", "x"]


@pytest.mark.parametrize("options", [{}, {"all_columns": True}])
def test_missing_columns_are_named(tmp_path: Path, make_loader: Make, options: dict[str, Any]) -> None:
    pq.write_table(pa.table({"row": [1], "xx": [0.5], "labels": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError) as caught:
        make_loader(str(tmp_path / "a.parquet"), **options)
    lines = [line.replace(f"{tmp_path}/", "") for line in str(caught.value).splitlines()]
    assert lines == [
        "a.parquet: no column 'x'; did you mean 'xx'?",
        "a.parquet: no column 'label'; did you mean 'labels'?",
        "a.parquet has the columns: row, xx, labels",
    ]


def test_sample_masks_hide_values_in_training_alike_on_every_run(tmp_path: Path, kit: Kit) -> None:
    pq.write_table(
        pa.table({"row": np.ones(2000, int), "x": np.zeros(2000), "label": np.zeros(2000, int)}), tmp_path / "a.parquet"
    )
    config = kit.data_config(sample_mask_prob=0.3, batch_size=500)
    text = 'id_feature { feature_name: "row" num_buckets: 9 use_mask: true fg_encoded_default_value: "" }'

    def lengths(mode: str, seed: int = 0, start: object = None) -> torch.Tensor:
        options = LoaderOptions(mode=mode, num_workers=0, seed=seed)  # type: ignore[arg-type]
        loader = DataLoader(config, kit.feature_set(config, text), str(tmp_path / "a.parquet"), options)
        return torch.cat([b.ids.lengths for b in loader.epoch(0, start)])  # type: ignore[arg-type]

    masked = lengths("train")
    assert 0.26 < 1 - masked.float().mean().item() < 0.34
    assert torch.equal(masked, lengths("train"))
    assert not torch.equal(masked, lengths("train", seed=1))
    assert lengths("eval").sum() == 2000
    assert masked[:500].tolist() != masked[500:1000].tolist()


def test_no_rows(tmp_path: Path, make_loader: Make, caplog: pytest.LogCaptureFixture, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [0, 0])
    with pytest.raises(DataError, match="no rows to train on"):
        make_loader(paths)
    assert list(make_loader(paths, mode="predict").epoch()) == []
    assert "there are no rows" in caplog.text


def test_more_ranks_than_rows(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    paths = kit.write_files(tmp_path, [2])
    counts = [len(kit.rows_of(list(make_loader(paths, rank=r, world_size=4).epoch()))) for r in range(4)]
    assert counts == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (pa.array(["a", "b"]), "label column 'label' has type string; a label is an integer"),
        (pa.array([1, None]), r"a\.parquet, row group 0, row 1: label 'label' is null"),
        (pa.array([[1], [None]]), r"row 1: label 'label' has a null in its list"),
        (pa.array([1.0, float("nan")]), r"a\.parquet, row group 0, row 1: label 'label' is NaN"),
        (pa.array([[], [0.0, float("nan")]]), r"a\.parquet, row group 0, row 1: label 'label' is NaN"),
    ],
)
def test_bad_labels(tmp_path: Path, make_loader: Make, label: pa.Array, message: str) -> None:
    pq.write_table(pa.table({"row": [0, 1], "x": [0.0, 0.0], "label": label}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        list(make_loader(str(tmp_path / "a.parquet")).epoch())


def test_a_null_weight_and_a_weight_of_text(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    config = kit.data_config(sample_weight_fields=["w"])
    rows = {"row": [0, 1], "x": [0.0, 0.0], "label": [0, 1]}
    pq.write_table(pa.table(rows | {"w": ["1", "2"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="sample weight column 'w' has type string"):
        make_loader(str(tmp_path / "a.parquet"), config)
    pq.write_table(pa.table(rows | {"w": [1.0, None]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 1: sample weight 'w' is null"):
        list(make_loader(str(tmp_path / "a.parquet"), config).epoch())
    pq.write_table(pa.table(rows | {"w": [1.0, float("nan")]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 1: sample weight 'w' is NaN"):
        list(make_loader(str(tmp_path / "a.parquet"), config).epoch())


def test_a_csv_file_of_a_header_only_has_no_rows(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    (tmp_path / "a.csv").write_text("row,x,label\n")
    config = kit.data_config(dataset_type=data_pb2.CsvDataset, with_header=True)
    with pytest.raises(DataError, match=r"there are no rows to train on in .*a\.csv"):
        make_loader(str(tmp_path / "a.csv"), config)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_value_no_feature_can_use_names_file_and_row(
    tmp_path: Path, make_loader: Make, shuffle: bool, threads: int, kit: Kit
) -> None:
    rows = [str(i) for i in range(60)]
    rows[43] = "not a number"
    table = pa.table({"row": rows, "x": np.zeros(60), "label": np.zeros(60, int)})
    pq.write_table(table.slice(0, 20), tmp_path / "a.parquet", row_group_size=10)
    pq.write_table(table.slice(20), tmp_path / "b.parquet", row_group_size=10)
    config = kit.data_config(batch_size=32, shuffle=shuffle, fg_mode=data_pb2.FG_DAG, fg_threads=threads)
    with pytest.raises(DataError, match=r"feature 'row'.*b\.parquet, row group 2, row 23"):
        list(make_loader(str(tmp_path / "*.parquet"), config).epoch())


@pytest.mark.parametrize("shuffle", [False, True])
def test_threads_make_the_same_batches(
    tmp_path: Path, make_loader: Make, shuffle: bool, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "cores_for_me", lambda _: 3)
    paths = kit.write_files(tmp_path, [300, 200])

    def epoch(threads: int, start: dict[str, int] | None = None) -> list[tuple[object, ...]]:
        config = kit.data_config(shuffle=shuffle, fg_mode=data_pb2.FG_DAG, fg_threads=threads)
        batches = make_loader(paths, config, seed=5, reserved_columns=("row",)).epoch(1, start)
        return [(b.ids.values.tolist(), b.dense.tolist(), b.position, b.reserved["row"].to_pylist()) for b in batches]

    alone = epoch(1)
    assert epoch(8) == alone
    assert epoch(2, alone[20][2]) == alone[21:]  # type: ignore[arg-type]


def test_threads_are_told_and_as_many_as_there_are_cores(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loader, "cores_for_me", lambda _: 2)
    monkeypatch.setattr(loader, "_TOGETHER_ROWS", 0)
    config = kit.data_config(batch_size=2, fg_mode=data_pb2.FG_DAG, fg_threads=8)
    with caplog.at_level("INFO", "tzx"):
        epoch = kit.loader(config, kit.feature_set(config), kit.write_files(tmp_path, [500])).epoch()
        next(epoch)
    assert "2 threads make batches (fg_threads is 8)" in caplog.text
    assert sum(t.name.startswith("tzx-features") for t in threading.enumerate()) == 2
    epoch.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tzx-")]


def test_samplers_are_refused_in_plain_words(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    config = kit.data_config()
    config.negative_sampler.SetInParent()
    with pytest.raises(ConfigError, match=r"data_config\.negative_sampler"):
        make_loader(kit.write_files(tmp_path, [3]), config)


def test_waiting_is_measured_and_closing_ends_the_thread(tmp_path: Path, make_loader: Make, kit: Kit) -> None:
    loader = make_loader(kit.write_files(tmp_path, [500]), kit.data_config(batch_size=2))
    epoch = loader.epoch()
    next(epoch)
    assert loader.wait_seconds > 0
    assert "tzx-loader" in {t.name for t in threading.enumerate()}
    epoch.close()  # type: ignore[attr-defined]
    assert "tzx-loader" not in {t.name for t in threading.enumerate()}
    forgotten = loader.epoch()
    next(forgotten)
    del forgotten
    gc.collect()
    assert "tzx-loader" not in {t.name for t in threading.enumerate()}


def test_an_unknown_source_says_what_can_be_read(make_loader: Make, kit: Kit) -> None:
    with pytest.raises(ConfigError, match="OdpsDataset cannot be read by this version; ParquetDataset and CsvDataset"):
        make_loader("odps://p/tables/t", kit.data_config(dataset_type=data_pb2.OdpsDataset))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_for_a_gpu_are_page_locked(tmp_path: Path, make_loader: Make, kit: Kit, workers: int) -> None:
    paths = kit.write_files(tmp_path, [100])
    batches = list(make_loader(paths, device="cuda", num_workers=workers).epoch())
    assert all(b.ids.values.is_pinned() and b.dense.is_pinned() for b in batches)
    moved = [b.to(torch.device("cuda"), non_blocking=True) for b in batches]
    assert kit.rows_of(moved) == list(range(100))
    assert not any(b.ids.values.is_pinned() for b in make_loader(paths, device="cuda", mode="predict").epoch())
