"""CSV files against Python's own csv module and against Arrow reading them whole."""

import bz2
import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tzx.runtime.data.readers import Reader, csv_index, open_reader
from tzx.runtime.errors import ConfigError, DataError
from tzx.runtime.protos import data_pb2

Kit = Any


def config(names: str = "", **fields: Any) -> data_pb2.DataConfig:
    fields = {"dataset_type": data_pb2.CsvDataset, "with_header": not names} | fields
    result = data_pb2.DataConfig(**fields)
    for item in names.split():
        name, _, kind = item.partition(":")
        field = result.input_fields.add(input_name=name)
        if kind:
            field.input_type = data_pb2.FieldType.Value(kind)
    return result


def read(reader: Reader, start: int = 0, stop: int | None = None, batch_rows: int = 1000) -> list[dict[str, Any]]:
    ranges = np.array([[start, reader.num_rows if stop is None else stop]])
    return [row for batch in reader.read(ranges, batch_rows) for row in batch.to_pylist()]


def write(path: Path, data: str | bytes) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


cells = st.text(st.sampled_from(["a", "b", ",", '"', "\n", "\r", ";", "é", "1"]), max_size=6)


@given(
    rows=st.lists(st.tuples(cells, cells), max_size=30),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    header=st.booleans(),
    chunk=st.integers(1, 50),
    piece=st.integers(1, 10),
    span=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    last_end=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_are_read_as_written(tmp_path_factory: pytest.TempPathFactory, **drawn: Any) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=drawn["end"])
    writer.writerows(([("x", "y")] if drawn["header"] else []) + drawn["rows"])
    content = text.getvalue() if drawn["last_end"] else text.getvalue().removesuffix(drawn["end"])
    path = write(
        tmp_path_factory.mktemp("csv") / "a.csv", (b"\xef\xbb\xbf" if drawn["bom"] else b"") + content.encode()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_index, "CHUNK", drawn["chunk"])
        patch.setattr(csv_index, "PIECE_ROWS", drawn["piece"])
        names = "" if drawn["header"] else "x:STRING y:STRING"
        setting = config(names, input_fields_str="x:STRING;y:STRING") if drawn["header"] else config(names)
        reader = open_reader(setting, path)
        start, stop = sorted(min(at, reader.num_rows) for at in drawn["span"])
        expected = [{"x": x, "y": y} for x, y in drawn["rows"]]
        assert reader.num_rows == len(expected)
        assert read(reader) == expected
        assert read(reader, start, stop, 3) == expected[start:stop]


@given(
    text=st.text(st.sampled_from(["1", ",", '"', "\n", "\r", "a"]), max_size=60),
    chunk=st.integers(1, 20),
)
@settings(max_examples=300, deadline=None)
def test_rows_are_counted_as_arrow_parses_them(text: str, chunk: int) -> None:
    data = text.encode()
    for name, value in (("CHUNK", chunk), ("PIECE_ROWS", 2)):
        setattr(csv_index, name, value)
    try:
        stream = io.BytesIO(data)
        index = csv_index.build_index(stream.read, ",", with_header=False)
    finally:
        csv_index.CHUNK, csv_index.PIECE_ROWS = 4 << 20, 16384
    lines = []
    options = pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda row: lines.append(row) or "skip")
    try:
        names = pa_csv.ReadOptions(column_names=[f"c{i}" for i in range(100)], use_threads=False)
        pa_csv.read_csv(pa.BufferReader(data), names, options)  # no row has 100 columns, so all are reported
    except pa.ArrowInvalid:
        assert not data
    assert index.num_rows == len(lines)
    pieces = [data[a:b] for a, b in zip(index.offsets[:-1], index.offsets[1:], strict=True)]
    assert b"".join(pieces) == data[int(index.offsets[0]) :]


def test_plain_and_quoted_scans_agree() -> None:
    rng = np.random.default_rng(0)
    plain = b"".join(rng.choice([b"ab", b",", b"\n", b"\r\n", b"\r"], 5000).tolist())
    counts = [
        csv_index.build_index(io.BytesIO(d).read, ",", False).num_rows for d in (plain, plain + b'"', b'""\n' + plain)
    ]
    assert counts[1] - counts[0] == (0 if plain[-1:] not in b"\r\n" else 1)
    assert counts[2] - counts[0] == 1


def test_files_with_columns_in_another_order_and_more_of_them(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "a,b\n1,x\n")
    write(tmp_path / "2.csv", "b,c,a\ny,9,2\n")
    reader = open_reader(config(), str(tmp_path / "*.csv"), ["a", "b"])
    assert read(reader) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_types_are_settled_over_files_and_their_ends(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "i,f,s,d,n,z\n1,1,1,2020-01-01,,\n")
    write(tmp_path / "2.csv", "i,f,s,d,n,z\n2,2.5,x,2020-01-02,,4\n")
    reader = open_reader(config(), str(tmp_path / "*.csv"))
    kinds = {f.name: str(f.type) for f in reader.schema}
    assert kinds == {"i": "int64", "f": "double", "s": "string", "d": "string", "n": "string", "z": "int64"}
    assert read(reader)[0] == {"i": 1, "f": 1.0, "s": "1", "d": "2020-01-01", "n": "", "z": None}


def test_a_column_that_is_all_empty_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.csv", "a,b,c\n1,,\n2,,\n")
    open_reader(config(), path, ["a", "b"])
    assert "column b is empty in every row looked at" in caplog.text
    assert "column c" not in caplog.text  # not wanted
    caplog.clear()
    typed = open_reader(config("", input_fields_str="b:INT64"), path, ["b"])
    assert (typed.schema.field("b").type, caplog.text) == (pa.int64(), "")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("INT32", "5", 5),
        ("FLOAT", "0.5", 0.5),
        ("STRING", "007", "007"),
        ("ARRAY_INT64", '"[1, 2]"', [1, 2]),
        ("ARRAY_STRING", '"[""a"", null]"', ["a", None]),
        ("ARRAY_ARRAY_FLOAT", '"[[0.5],[]]"', [[0.5], []]),
        ("ARRAY_INT64", "1\x032", "1\x032"),  # separated text stays text
        ("MAP_STRING_FLOAT", '"{""a"": 0.5}"', [("a", 0.5)]),
        ("MAP_INT64_INT64", '"{""7"": 1}"', [(7, 1)]),
        ("MAP_STRING_FLOAT", "a:1;b:2", "a:1;b:2"),
    ],
)
def test_declared_types(tmp_path: Path, kind: str, text: str, value: object) -> None:
    path = write(tmp_path / "a.csv", f"{text},1\n,2\n".encode())
    first, second = read(open_reader(config(f"c:{kind} n"), path))
    assert first["c"] == value
    assert second["c"] in (None, "")


def test_fields_in_one_text_with_aliases(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1|2|x\n")
    setting = config("", with_header=False, delimiter="|", input_fields_str="a:BIGINT; b:int;c:STRING;")
    assert [str(t) for t in open_reader(setting, path).schema.types] == ["int64", "int32", "string"]
    with pytest.raises(ConfigError, match=r"input_fields_str: 'b:WORD' is not name:TYPE; TYPE is one of INT32, INT64"):
        open_reader(config("", input_fields_str="a:INT64;b:WORD"), path)


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_files(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    data = "a,b\n" + "".join(f"{i},t{i}\n" for i in range(50_000))
    path = write(tmp_path / f"x.csv{suffix}", compress(data.encode()))
    reader = open_reader(config(), path)
    assert (reader.num_rows, reader.boundaries.tolist()) == (50_000, [0, 50_000])
    assert read(reader, 40_000, 40_002) == [{"a": 40_000, "b": "t40000"}, {"a": 40_001, "b": "t40001"}]


def test_memory_stays_bounded_by_pieces(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "".join(f"{i},{'x' * 100}\n" for i in range(200_000)))
    reader = open_reader(config("a b"), path)
    before = pa.total_allocated_bytes()
    peak, rows = 0, 0
    for batch in reader.read(np.array([[0, reader.num_rows]]), 1000):
        peak, rows = max(peak, pa.total_allocated_bytes() - before), rows + batch.num_rows
    assert rows == 200_000
    assert peak < 8 << 20 < Path(path).stat().st_size


@pytest.mark.parametrize(
    ("content", "setting", "message"),
    [
        ("a,b\n1,x\n2\n", config(), r"a\.csv, row 1: Expected 2 columns, got 1: 2"),
        (
            "1,x\n2,y\n",
            config("a:INT64 b:FLOAT"),
            r"a\.csv, row 0, column b: .*float: invalid value 'x'; give column b",
        ),
        (
            "a,b\n1,2\n",
            config("a b", with_header=False),
            "first row holds the column names; set data_config.with_header: true",
        ),
        ("a,a\n1,2\n", config(), "header names a more than once"),
        ("l\n[1]\n[x\n", config("", input_fields_str="l:ARRAY_INT64"), "column l: a value is no JSON text of list<"),
        ("a\n1\n", config("", delimiter=",,"), "delimiter: ',,' is not a single byte"),
        ("a\n1\n", config("", with_header=False), "CSV files without a header need input_fields"),
    ],
)
def test_bad_input(tmp_path: Path, content: str, setting: data_pb2.DataConfig, message: str) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises((DataError, ConfigError), match=message):
        read(open_reader(setting, path))


def test_an_error_far_into_the_file_names_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a\n" + "1\n" * 50_000 + "q\n" + "1\n" * 50_000)
    with pytest.raises(DataError, match=r"a\.csv, row 50000, column a: .*'q'; give column a its type"):
        read(open_reader(config(), path))


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user_id,item\n1,2\n")
    with pytest.raises(DataError, match=r"no column 'userid'; did you mean 'user_id'\?\n.*columns: user_id, item"):
        open_reader(config(), path, ["userid"])


@pytest.mark.parametrize("content", ["", "a,b\n", "a,b", "\n\n"])
def test_files_without_rows(tmp_path: Path, content: str) -> None:
    write(tmp_path / "1.csv", "a,b\n1,2\n")
    write(tmp_path / "2.csv", content)
    assert read(open_reader(config(), str(tmp_path / "*.csv"))) == [{"a": 1, "b": 2}]
    if content.strip():
        assert open_reader(config(), str(tmp_path / "2.csv")).num_rows == 0
    else:
        assert open_reader(config("a b"), str(tmp_path / "2.csv")).num_rows == 0
        with pytest.raises(DataError, match=r"2\.csv: the file is empty"):
            open_reader(config(), str(tmp_path / "2.csv"))


def test_shuffled_and_split_rows_of_csv_come_once(
    tmp_path: Path, make_loader: Callable[..., Any], kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_index, "PIECE_ROWS", 8)
    for part in range(3):
        rows = "".join(f"{i},{i / 2},{i % 2}\r\n" for i in range(part * 40, part * 40 + 40))
        write(tmp_path / f"{part}.csv", "row,x,label\r\n" + rows)
    setting = kit.data_config(dataset_type=data_pb2.CsvDataset, with_header=True, shuffle=True, shuffle_buffer_size=2)
    seen = []
    for rank in range(3):
        seen += kit.rows_of(list(make_loader(str(tmp_path / "*.csv"), setting, rank=rank, world_size=3).epoch()))
    assert sorted(seen) == list(range(120))
    assert seen != sorted(seen)
