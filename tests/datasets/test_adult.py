import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tzx.datasets import adult
from tzx.datasets.sources import SourceFiles
from tzx.runtime.errors import DataError, UserError

LINES = """\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, Cuba, <=50K
50, ?, 83311, Bachelors, 13, Married-civ-spouse, ?, Husband, White, Male, 0, 0, 13, ?, >50K
"""
NAMES = [
    "age", "workclass", "fnlwgt", "education", "educational-num", "marital-status", "occupation",
    "relationship", "race", "gender", "capital-gain", "capital-loss", "hours-per-week", "native-country",
    "income",
]  # fmt: skip


def _uci(folder: Path) -> SourceFiles:
    (folder / "adult.data").write_text(LINES)
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + LINES.replace("K\n", "K.\n"))
    return SourceFiles(folder)


def test_uci_files(tmp_path: Path):
    table = adult.read(_uci(tmp_path))
    assert table["over_50k"].to_pylist() == [0, 1, 0, 1]
    assert table["workclass"].to_pylist() == ["State-gov", None] * 2
    assert table["native_country"].to_pylist() == ["Cuba", None] * 2
    assert table["hours_per_week"].to_pylist() == [40, 13] * 2
    assert "income" not in table.column_names


def test_the_wheels_parquet_reads_like_the_uci_files(tmp_path: Path):
    rows = [[field.strip() for field in line.split(",")] for line in LINES.splitlines()]
    numbers = {"age", "fnlwgt", "educational-num", "capital-gain", "capital-loss", "hours-per-week"}
    columns = {
        n: [int(v) if n in numbers else v for v in column]
        for n, column in zip(NAMES, zip(*rows, strict=True), strict=True)
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    folder = tmp_path / "wheel"
    folder.mkdir()
    (folder / "adult.parquet.brotli").write_bytes(sink.getvalue())
    found = adult.read(SourceFiles(folder))
    assert found.equals(adult.read(_uci(tmp_path)).slice(0, 2).combine_chunks())


def test_bad_files_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"neither adult\.parquet\.brotli nor adult\.data"):
        adult.read(SourceFiles(tmp_path))
    (tmp_path / "adult.data").write_text("1, 2, 3\n")
    with pytest.raises(DataError, match=r"adult\.data: record 1 does not have 15 fields"):
        adult.read(SourceFiles(tmp_path))


def test_parts_are_disjoint_and_seeded(tmp_path: Path):
    table = adult.people(
        pa.table([pa.array(range(100)) if n in ("age", "fnlwgt") else pa.array(["x"] * 100) for n in adult._COLUMNS],
                 names=list(adult._COLUMNS))
    )  # fmt: skip
    parts = adult.prepare(table, 1)
    assert sorted(age for part in parts.values() for age in part["age"].to_pylist()) == list(range(100))
    assert [part.num_rows for part in parts.values()] == [80, 10, 10]
    assert parts["test"].equals(adult.prepare(table, 1)["test"])
