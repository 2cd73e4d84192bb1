"""Writers against reading back, and against what must not be left or lost."""

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tzx.runtime.data.readers.json_text import parse_json, to_json
from tzx.runtime.data.writers import open_writer
from tzx.runtime.errors import DataError, StorageError, UserError

BATCH = pa.record_batch(
    {
        "id": [1, 2, None],
        "text": ["a", 'say "b",\nc', ""],
        "scores": pa.array([[[1.5, 2], [3]], None, [[], None]], pa.list_(pa.list_(pa.float32()))),
        "names": pa.array([["x", 'y"\n'], [None], []]),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    }
)

KINDS = [
    pa.list_(pa.int64()),
    pa.list_(pa.list_(pa.float64())),
    pa.list_(pa.string()),
    pa.list_(pa.bool_()),
    pa.map_(pa.string(), pa.float64()),
    pa.list_(pa.map_(pa.int64(), pa.string())),
]
leaves = {
    pa.int64(): st.integers(-(2**62), 2**62),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    pa.bool_(): st.booleans(),
}


def values(kind: pa.DataType) -> st.SearchStrategy[object]:
    if pa.types.is_map(kind):
        return st.dictionaries(leaves[kind.key_type], leaves[kind.item_type], max_size=3).map(lambda d: list(d.items()))
    if pa.types.is_list(kind):
        return st.lists(st.none() | values(kind.value_type), max_size=3)
    return leaves[kind]


@given(st.sampled_from(KINDS), st.data(), st.integers(0, 3))
def test_nested_values_survive_as_text(kind: pa.DataType, draw: st.DataObject, cut: int) -> None:
    if pa.types.is_list(kind) and pa.types.is_map(kind.value_type):
        column = pa.array(draw.draw(st.lists(st.lists(values(kind.value_type), max_size=2), max_size=4)), kind)
        texts = to_json(column.slice(cut))
        parsed = [[parse_json(pa.array([_json(m)]), kind.value_type)[0].as_py() for m in row] for row in _rows(texts)]
        assert parsed == column.slice(cut).to_pylist()
        return
    column = pa.array(draw.draw(st.lists(st.none() | values(kind), max_size=6)), kind).slice(cut)
    assert parse_json(to_json(column), kind).to_pylist() == column.to_pylist()


def _rows(texts: pa.Array) -> list[list[dict[str, object]]]:
    import json

    return [json.loads(text) for text in texts.to_pylist()]


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def test_parquet_parts_are_read_back_alike(tmp_path: Path) -> None:
    with open_writer("parquet", str(tmp_path / "new" / "out"), 3) as writer:
        writer.write(BATCH)
        writer.write(BATCH.slice(1))
    assert [p.name for p in (tmp_path / "new" / "out").iterdir()] == ["part-3.parquet"]
    assert pq.read_table(writer.path).equals(pa.Table.from_batches([BATCH, BATCH.slice(1)]))


def test_csv_parts_hold_json_for_lists_and_maps(tmp_path: Path) -> None:
    with open_writer("csv", str(tmp_path), 0) as writer:
        writer.write(BATCH)
    options = pa_csv.ParseOptions(newlines_in_values=True)
    table = pa_csv.read_csv(tmp_path / "part-0.csv", parse_options=options)
    assert table["text"].to_pylist() == BATCH.column("text").to_pylist()
    assert table["scores"].to_pylist() == ["[[1.5, 2], [3]]", "", "[[], null]"]
    assert table["names"].to_pylist() == ['["x", "y\\"\\n"]', "[null]", "[]"]
    assert table["map"].to_pylist() == ['{"k": 1}', "{}", ""]


def test_a_part_appears_when_it_is_whole_or_never(tmp_path: Path) -> None:
    writer = open_writer("parquet", str(tmp_path), 0)
    writer.write(BATCH)
    (temporary,) = tmp_path.iterdir()
    assert temporary.name.startswith(".part-0.parquet.")
    writer.abort()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), open_writer("csv", str(tmp_path), 0) as writer:
        writer.write(BATCH)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with open_writer("csv", str(tmp_path), 0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "part-0.csv").write_text("precious")
    with pytest.raises(UserError, match=r"part-0\.csv is there already; remove it or choose another output path"):
        open_writer("csv", str(tmp_path), 0)
    with open_writer("csv", str(tmp_path), 0, overwrite=True) as writer:
        writer.write(BATCH)
    assert "precious" not in (tmp_path / "part-0.csv").read_text()


def test_csv_parts_of_dictionaries_and_large_lists(tmp_path: Path) -> None:
    columns = {"d": pa.array(["a"]).dictionary_encode(), "l": pa.array([[1]], pa.large_list(pa.int64()))}
    with open_writer("csv", str(tmp_path), 0) as writer:
        writer.write(pa.record_batch(columns))
    assert (tmp_path / "part-0.csv").read_text() == '"d","l"\n"a","[1]"\n'


def test_urls(tmp_path: Path) -> None:
    with open_writer("csv", "memory://results/run", 1) as writer:
        writer.write(BATCH.select(["id"]))
    memory = fsspec.filesystem("memory")
    assert memory.ls("/results/run", detail=False) == ["/results/run/part-1.csv"]
    assert memory.cat("/results/run/part-1.csv") == b'"id"\n1\n2\n\n'
    with open_writer("parquet", f"file://{tmp_path}/x", 0) as writer:
        writer.write(BATCH)
    assert pq.read_table(tmp_path / "x" / "part-0.parquet").num_rows == 3


def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"writer 'orc' is unknown; there are parquet, csv"):
        open_writer("orc", str(tmp_path), 0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="its folder is a file"):
        open_writer("csv", str(tmp_path / "file"), 0)
    with pytest.raises(UserError, match="gopher"):
        open_writer("csv", "gopher://x", 0)
    writer = open_writer("parquet", str(tmp_path), 0)
    writer.write(BATCH)
    with pytest.raises(DataError, match="a batch has the columns id: int64, the first had id: int64, text: string"):
        writer.write(BATCH.select(["id"]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"part-0\.parquet: writing failed: .*No space left"):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(DataError, match=r"part-0\.csv: a column cannot be written: .*interval"):
        open_writer("csv", str(tmp_path), 0).write(
            pa.record_batch({"t": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
        )
