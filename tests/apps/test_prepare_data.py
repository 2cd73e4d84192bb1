import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tzx.datasets.prepare import DATA_SETS


def _run(*args: object, app: str = "prepare_data") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tzx.apps.{app}", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of GroupLens with 200 ratings."""
    folder = tmp_path_factory.mktemp("ml")
    ratings = [f"{1 + n % 10}\t{1 + n // 10}\t{1 + n % 5}\t{1000 + n}" for n in range(200)]
    (folder / "u.data").write_text("\n".join(ratings))
    (folder / "u.user").write_text("\n".join(f"{n}|30|M|writer|12345" for n in range(1, 11)))
    flags = "|".join("1" if n == 5 else "0" for n in range(19))
    (folder / "u.item").write_text("\n".join(f"{n}|T{n} (1990)|01-Jan-1990||u|{flags}" for n in range(1, 21)))
    return folder


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("out")
    return out, _run("movielens", "--out", out, "--source", source)


def test_writes_both_formats_with_equal_rows(prepared):
    out, result = prepared
    assert result.returncode == 0, result.stderr
    for split in ("random", "time"):
        for part, rows in (("train", 160), ("valid", 20), ("test", 20)):
            parquet = pq.read_table(out / split / f"{part}.parquet")
            csv = pyarrow.csv.read_csv(out / split / f"{part}.csv")
            assert parquet.num_rows == csv.num_rows == rows
            assert parquet.column_names == csv.column_names
            for name in ("user_id", "item_id", "rating", "liked", "title", "zip_area"):
                assert parquet[name].to_pylist() == csv[name].to_pylist()


def test_says_the_licence_and_leaves_it_beside_the_data(prepared):
    out, result = prepared
    text = DATA_SETS["movielens"].license
    assert text in result.stdout and (out / "LICENSE.txt").read_text() == text
    assert "train.parquet|csv" in result.stdout and "liked" in result.stdout


def test_runs_again_with_the_same_result(prepared, source: Path):
    out, _ = prepared
    before = {path: path.read_bytes() for path in out.rglob("*.csv")}
    assert _run("movielens", "--out", out, "--source", source).returncode == 0
    assert {path: path.read_bytes() for path in out.rglob("*.csv")} == before


def test_one_format_and_another_seed(source: Path, tmp_path: Path, prepared):
    assert _run("movielens", "--out", tmp_path, "--source", source, "--format", "csv", "--seed", 9).returncode == 0
    assert not list(tmp_path.rglob("*.parquet"))
    assert (tmp_path / "random" / "test.csv").read_bytes() != (prepared[0] / "random" / "test.csv").read_bytes()


def test_errors_are_one_line_with_exit_code_2(tmp_path: Path):
    missing = _run("movielens", "--out", tmp_path / "out", "--source", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert missing.stderr.strip() == f"error: {tmp_path / 'nowhere'}: no such file or folder"
    assert not (tmp_path / "out").exists()
    unknown = _run("movielens", "--sorce", tmp_path)
    assert unknown.returncode == 2 and "--source" in unknown.stderr
    wrong = _run("netflix")
    assert wrong.returncode == 2 and "movielens" in wrong.stderr


def test_generated_rows_and_their_report(tmp_path: Path):
    result = _run("taobao", "--out", tmp_path, "--rows", 300, "--test_rows", 50, app="generate_data")
    assert result.returncode == 0, result.stderr
    assert pq.read_table(tmp_path / "train").num_rows == 300
    assert "clk" in result.stdout and "buy" in result.stdout
    assert _run("taobao", "--rows", 0, app="generate_data").returncode == 2


def test_importing_the_apps_needs_no_torch():
    code = "import sys, tzx.apps.prepare_data, tzx.apps.generate_data; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
