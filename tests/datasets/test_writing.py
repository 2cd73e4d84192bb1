from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tzx.datasets.writing import ROW_GROUP_ROWS, write_chunks, write_table

TABLE = pa.table(
    {
        "id": [1, 2, 3],
        "text": ['plain, with "marks"', None, ""],
        "numbers": pa.array([[1, 2], [], [3]], pa.list_(pa.int64())),
        "words": [["a|b", "c"], [], ["d"]],
    }
)


def test_parquet_keeps_tables_as_they_are(tmp_path: Path):
    path = write_table(TABLE, tmp_path / "new" / "part", "parquet")
    assert path.name == "part.parquet"
    assert pq.read_table(path).equals(TABLE)


def test_csv_joins_lists(tmp_path: Path):
    path = write_table(TABLE, tmp_path / "part", "csv")
    found = pa.csv.read_csv(path).to_pylist()
    assert [row["numbers"] for row in found] == ["1;2", "", "3"]
    assert [row["words"] for row in found] == ["a|b;c", "", "d"]
    assert found[0]["text"] == TABLE["text"][0].as_py()


def test_chunks_follow_each_other_in_bounded_row_groups(tmp_path: Path):
    chunk = pa.table({"id": pa.array(range(ROW_GROUP_ROWS + 10))})
    path = write_chunks([chunk, chunk], chunk.schema, tmp_path / "many", "parquet")
    file = pq.ParquetFile(path)
    assert file.metadata.num_rows == 2 * chunk.num_rows
    assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) == ROW_GROUP_ROWS


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path, file_format: str):
    path = write_table(TABLE, tmp_path / "part", file_format)
    before = path.read_bytes()

    def chunks():
        yield TABLE
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        write_chunks(chunks(), TABLE.schema, tmp_path / "part", file_format)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
