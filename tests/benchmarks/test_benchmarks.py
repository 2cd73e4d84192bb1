"""The benchmark scripts run and print their figures; the figures themselves are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(script: str, folder: Path, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / script, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests here, so that rows are generated once."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["hashed", "raw", "sequences"])
def test_loader(folder: Path, case: str):
    result = _run("loader.py", folder, "--case", case, "--rows", 20_000, "--passes", 1)
    assert result.returncode == 0, result.stderr
    for figure in ("rows/s, median pass", "rows per CPU second", "peak memory", "load_average", "pyarrow"):
        assert figure in result.stdout


@pytest.mark.slow
def test_training(folder: Path):
    flags = ("--rows", 20_000, "--batch_size", 1024, "--window", 2, "--threads", 1, "--json", folder / "results")
    result = _run("train_deepfm.py", folder, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    row = json.loads((folder / "results").read_text())
    assert row["result"]["steps"] == 20 and row["threads"] == 1
    assert float(row["result"]["samples/s, median window"].replace(",", "")) > 0
    assert row["result"]["command to first step, s"] > 0
    assert row["result"]["peak memory, MiB"] > 100
    assert 0 <= row["result"]["waiting for data, mean %"] <= 100


def test_an_unknown_example_is_named(folder: Path):
    result = _run("examples.py", folder, "deepfm")
    assert result.returncode == 2 and "deepfm_movielens" in result.stderr


def test_baselines(folder: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"user_id": [1, 2, 1], "item_id": [1, 1, 2], "liked": [1, 0, 1], "loved": [0, 1, 0]})
    for split in ("random", "time"):
        (folder / "ml" / split).mkdir(parents=True)
        for part in ("train", "test"):
            pq.write_table(table, folder / "ml" / split / f"{part}.parquet")
    result = _run("baselines.py", folder, "--data", "ml")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("constant") == 3 and "0.5000  constant" in result.stdout


@pytest.mark.slow
def test_features(folder: Path):
    pytest.importorskip("polars")
    for only, shown in (("overlap", "overlap of 1-8"), ("bool_mask", "bool_mask"), ("criteo", "39 features 2 threads")):
        result = _run("features.py", folder, "--rows", 2_000, "--batch_size", 1_000, "--passes", 1, "--only", only)
        assert result.returncode == 0, result.stderr
        assert shown in result.stdout and "polars" in result.stdout
