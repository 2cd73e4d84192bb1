"""Parquet files and input paths against slices of the tables that were written."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tzx.runtime.data.readers import ORIGIN, Reader, open_reader, source
from tzx.runtime.data.readers.paths import InputFile
from tzx.runtime.errors import DataError, StorageError, UserError
from tzx.runtime.protos import data_pb2

CONFIG = data_pb2.DataConfig(dataset_type=data_pb2.ParquetDataset)


def rows_of(reader: Reader, *ranges: tuple[int, int], batch_rows: int = 5) -> list[int]:
    wanted = np.array(ranges or [(0, reader.num_rows)], np.int64)
    return [row for batch in reader.read(wanted, batch_rows) for row in batch.column("row").to_pylist()]


def write(path: Path | str, start: int, stop: int, group: int = 4, **extra: Any) -> None:
    table = pa.table({"row": np.arange(start, stop)} | extra)
    with fsspec.open(str(path), "wb") as file:
        pq.write_table(table, file, row_group_size=group)


@given(
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    group=st.integers(1, 9),
    batch_rows=st.integers(1, 9),
    draw=st.data(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_ranges_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int, batch_rows: int, draw: st.DataObject
) -> None:
    folder, end = tmp_path_factory.mktemp("rows"), 0
    for number, size in enumerate(sizes):
        write(folder / f"{number}.parquet", end, end + size, group)
        end += size
    reader = open_reader(CONFIG, str(folder / "*.parquet"))
    edges = [sorted(draw.draw(st.tuples(st.integers(0, end), st.integers(0, end)))) for _ in range(4)]
    expected = [row for start, stop in edges for row in range(start, stop)]
    assert rows_of(reader, *edges, batch_rows=batch_rows) == expected
    for chunk in reader.chunks(np.array(edges), batch_rows):
        assert chunk.rows.tolist() == chunk.batch.column("row").to_pylist()
    starts = {start for number, size in enumerate(sizes) for start in _group_starts(sum(sizes[:number]), size, group)}
    assert reader.boundaries.tolist() == sorted(starts | {end, 0})


def _group_starts(first: int, size: int, group: int) -> Iterator[int]:
    return iter(range(first, first + size, group)) if size else iter([first])


def test_neighbouring_ranges_cost_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.parquet", 0, 40, group=10)
    opened = []
    original = InputFile.open
    monkeypatch.setattr(InputFile, "open", lambda self: opened.append(self) or original(self))
    reader = open_reader(CONFIG, str(tmp_path / "a.parquet"))
    opened.clear()
    assert rows_of(reader, (1, 3), (5, 6), (9, 12), (12, 13)) == [1, 2, 5, 9, 10, 11, 12]
    assert len(opened) == 1
    assert rows_of(reader, (25, 26), (3, 4)) == [25, 3]
    assert len(opened) == 3


def test_the_origin_of_rows_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 0, 6)
    write(tmp_path / "b.parquet", 6, 12)
    reader = open_reader(CONFIG, str(tmp_path / "*.parquet"))
    batches = list(reader.read(np.array([[5, 6], [10, 12]]), 10))
    origins = [batch.schema.metadata[ORIGIN].decode().removeprefix(f"{tmp_path}/") for batch in batches]
    assert origins == ["a.parquet, row group 1, row 5", "b.parquet, row group 1, row 4"]
    assert reader.origin(np.array([1, 0])) == f"{tmp_path}/a.parquet"
    assert reader.origin(np.array([1, 7])) == f"{tmp_path}/a.parquet, {tmp_path}/b.parquet"


def test_types_are_made_plain(tmp_path: Path) -> None:
    table = pa.table(
        {
            "d": pa.array(["a", "b"]).dictionary_encode(),
            "s": pa.array(["a", "b"], pa.large_string()),
            "l": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)),
            "n": pa.array([[["a"]], []], pa.large_list(pa.large_list(pa.large_string()))),
            "m": pa.array([[("k", 1)], []], pa.map_(pa.large_string(), pa.int64())),
            "f": pa.array([1.5, 2.5]).cast(pa.decimal128(5, 1)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    reader = open_reader(CONFIG, str(tmp_path / "a.parquet"))
    kinds = {f.name: f.type for f in reader.schema}
    assert kinds == {
        "d": pa.string(),
        "s": pa.string(),
        "l": pa.list_(pa.int64()),
        "n": pa.list_(pa.list_(pa.string())),
        "m": pa.map_(pa.string(), pa.int64()),
        "f": pa.float64(),
    }
    (batch,) = reader.read(np.array([[0, 2]]), 10)
    assert batch.schema.remove_metadata().equals(reader.schema)
    assert batch.to_pylist() == [
        {"d": "a", "s": "a", "l": [1, 2], "n": [["a"]], "m": [("k", 1)], "f": 1.5},
        {"d": "b", "s": "b", "l": [3, 4], "n": [], "m": [], "f": 2.5},
    ]


def test_files_agree_on_the_widest_type_and_any_column_order(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": pa.array([1], pa.int32()), "x": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": [0.5], "more": ["?"], "row": pa.array([2], pa.int64())}), tmp_path / "2.parquet")
    reader = open_reader(CONFIG, str(tmp_path / "*.parquet"), ["row", "x"])
    assert reader.schema.types == [pa.int64(), pa.float64()]
    rows = [row for batch in reader.read(np.array([[0, 2]]), 10) for row in batch.to_pylist()]
    assert rows == [{"row": 1, "x": 1.0}, {"row": 2, "x": 0.5}]
    pq.write_table(pa.table({"row": ["a"], "x": [1]}), tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"3\.parquet and .*1\.parquet have columns of different types"):
        open_reader(CONFIG, str(tmp_path / "*.parquet"), ["row", "x"])


def test_paths_lists_globs_folders_and_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("b/2.parquet", "b/10.parquet", "a/x.parquet", "c [1]/y.parquet")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, number, number + 1)
    (tmp_path / "b" / "_SUCCESS").touch()
    (tmp_path / "b" / ".hidden.parquet").touch()
    write("memory://bucket/z.parquet", 9, 10)
    monkeypatch.chdir(tmp_path)

    def rows(paths: str) -> list[int]:
        return rows_of(open_reader(CONFIG, paths))

    assert rows("b/*.parquet") == [1, 0]  # sorted by name
    assert rows("b/*") == [1, 0]
    assert rows("b") == [1, 0]
    assert rows("a/x.parquet, b/*.parquet") == [2, 1, 0]  # in the order given
    assert rows("**/*.parquet") == [2, 1, 0, 3]
    assert rows("c [1]/y.parquet") == [3]  # a file of that very name
    assert rows(f"file://{tmp_path}/a/x.parquet,memory://bucket/*.parquet") == [2, 9]
    assert open_reader(CONFIG, "memory://bucket/z.parquet").sources[0].file.name == "memory:///bucket/z.parquet"
    assert open_reader(CONFIG, "a/x.parquet").sources[0].file.name == "a/x.parquet"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("", "no input path is given"),
        ("train.parket", r"input path train\.parket: no such file; did you mean .*train\.parquet\?"),
        ("no/where.parquet", r"no such file; the folder .*no does not exist either"),
        ("*.orc,train.parquet", r"input path \*\.orc: the pattern matches no file"),
        ("empty", r"input path empty: the folder holds no \.parquet or \.pq"),
        ("gopher://x/y", "input path gopher://x/y: Protocol not known: gopher"),
    ],
)
def test_paths_that_name_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: str, message: str) -> None:
    write(tmp_path / "train.parquet", 0, 1)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        open_reader(CONFIG, paths)


def test_every_missing_path_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_reader(CONFIG, f"{tmp_path}/a.parquet,{tmp_path}/b.parquet")
    assert len(str(caught.value).splitlines()) == 2


def test_every_missing_column_is_told_with_its_nearest(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 0, 1, user_id=[1])
    with pytest.raises(DataError) as caught:
        open_reader(CONFIG, str(tmp_path / "a.parquet"), ["usr_id", "row", "zzz"])
    lines = [line.replace(f"{tmp_path}/", "") for line in str(caught.value).splitlines()]
    assert lines == [
        "a.parquet: no column 'usr_id'; did you mean 'user_id'?",
        "a.parquet: no column 'zzz'",
        "a.parquet has the columns: row, user_id",
    ]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.touch()
    with pytest.raises(DataError, match=r"a\.parquet: the file is empty \(0 bytes\)"):
        open_reader(CONFIG, str(path))
    write(path, 0, 1000, group=100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.parquet: the file is truncated, damaged or of another kind"):
        open_reader(CONFIG, str(path))
    damaged = bytearray(whole)
    damaged[200:400] = bytes(200)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.parquet: the file is truncated, damaged"):
        rows_of(open_reader(CONFIG, str(path)))


def test_a_file_without_rows_among_others(tmp_path: Path) -> None:
    for name, (start, stop) in {"1": (0, 3), "2": (3, 3), "3": (3, 5)}.items():
        write(tmp_path / f"{name}.parquet", start, stop)
    reader = open_reader(CONFIG, str(tmp_path / "*.parquet"))
    assert rows_of(reader) == [0, 1, 2, 3, 4]
    assert [reader.place(r).rpartition("/")[2] for r in (2, 3)] == [
        "1.parquet, row group 0, row 2",
        "3.parquet, row group 0, row 0",
    ]


@pytest.mark.parametrize(("failures", "fails"), [(3, False), (99, True)])
def test_reading_goes_on_after_passing_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failures: int, fails: bool
) -> None:
    write(tmp_path / "a.parquet", 0, 40)
    reader = open_reader(CONFIG, str(tmp_path / "a.parquet"))
    left = failures
    original = source.FileSource.__subclasses__()  # readers of both kinds
    parquet = next(kind for kind in original if kind.__name__ == "ParquetSource")
    read = parquet.read

    def unsteady(self: Any, start: int, *rest: Any) -> Iterator[pa.RecordBatch]:
        nonlocal left
        for number, batch in enumerate(read(self, start, *rest)):
            if number == 2 and left:
                left -= 1
                raise OSError(5, "the disk coughed")
            yield batch

    monkeypatch.setattr(parquet, "read", unsteady)
    monkeypatch.setattr(source.time, "sleep", lambda seconds: None)
    with caplog.at_level(logging.WARNING):
        if fails:
            monkeypatch.setattr(parquet, "read", lambda *_: (_ for _ in ()).throw(OSError(5, "the disk is gone")))
            with pytest.raises(StorageError, match=r"a\.parquet: reading failed 4 times: .*disk is gone"):
                rows_of(reader)
        else:
            assert rows_of(reader) == list(range(40))
    assert "trying again" in caplog.text


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.parquet", 0, 8, group=4)
    reader = open_reader(CONFIG, str(tmp_path / "a.parquet"))
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(UserError, match=r"a\.parquet: no such file \(any more\)"):
        rows_of(reader)
