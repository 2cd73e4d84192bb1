"""The benchmark scripts run and print their figures; the figures themselves are not judged here."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import warm

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(script: str, folder: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return warm.run([BENCHMARKS / script, *args], cwd=folder, timeout=600)


def _load(script: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script, BENCHMARKS / f"{script}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[script] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests here, so that rows are generated once."""
    return tmp_path_factory.mktemp("benchmarks")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["hashed", "raw", "sequences"])
def test_loader(folder: Path, case: str):
    result = _run("loader.py", folder, "--case", case, "--rows", 20_000, "--passes", 1)
    assert result.returncode == 0, result.stderr
    for figure in ("rows/s", "rows per CPU second", "peak memory", "load_average", "pyarrow"):
        assert figure in result.stdout


@pytest.mark.slow
def test_training(folder: Path):
    flags = ("--rows", 20_000, "--set", "data_config.batch_size=1024", "--window", 2, "--threads", 1)
    result = _run("train.py", folder, *flags, "--json", folder / "results")
    assert result.returncode == 0, result.stdout + result.stderr
    row = json.loads((folder / "results").read_text())
    assert row["case"] == "train deepfm" and row["threads"] == 1 and row["result"]["steps"] == 20
    assert row["result"]["samples/s"] > 0
    assert row["result"]["command to first step, s"] > 0
    assert row["result"]["peak memory, MiB"] > 100
    assert 0 <= row["result"]["waiting for data, %"] <= 100


@pytest.mark.slow
def test_the_suite_shows_figures_and_compares_ratios(folder: Path):
    written = folder / "suite.json"
    result = _run("suite.py", folder, "--only", "limits,loader hashed,step deepfm", "--rows", 82_000, "--json", written)
    assert result.returncode == 0, result.stdout + result.stderr
    kept = json.loads(written.read_text())
    assert [part["case"] for part in kept["parts"]] == ["limits", "loader hashed", "step deepfm"]
    assert all(part["load_average"] >= 0 and part["commit"] for part in kept["parts"])
    assert 0 < kept["ratios"]["step deepfm: share of GEMM limit"] < 2
    assert set(kept["ratios"]) == {"step deepfm: share of GEMM limit", "loader hashed: share of a Parquet scan"}


@pytest.mark.slow
def test_dynamic_tables(folder: Path):
    result = _run("dynamic_tables.py", folder, "--ids", 20_000, "--batch", 2_000, "--steps", 3, "--skew", 1.2)
    assert result.returncode == 0, result.stderr
    figures = ("dynamic / plain, read only", "dynamic / plain, trained", "the map alone, read only")
    for figure in ("bytes per live id", *figures, "miss_rate", "evicted", "Zipf 1.2"):
        assert figure in result.stdout


def test_a_ratio_is_worse_when_it_is_below_its_tolerance():
    suite = _load("suite")
    stored = {"a": {"ratio": 0.5, "tolerance": 0.2}, "b": {"ratio": 0.5, "tolerance": 0.2}}
    assert not list(suite.worse({"a": 0.41, "new": 0.1}, stored))
    assert list(suite.worse({"a": 0.39, "b": 0.5}, stored)) == ["a: 0.390, at least 0.400 expected"]


def test_an_unknown_example_is_named(folder: Path):
    result = _run("examples.py", folder, "deepfm")
    assert result.returncode == 2 and "deepfm_movielens" in result.stderr


@pytest.mark.slow
def test_checkpoints(folder: Path):
    result = _run("checkpoint.py", folder, "--table_rows", 2_000, "--window", 4, "--rounds", 2, "--batch_size", 64)
    assert result.returncode == 0, result.stderr
    for figure in ("save, s", "verify, s", "restore, s", "stolen by one save, s", "bytes"):
        assert figure in result.stdout


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


def test_results_page(folder: Path):
    """Means, deviations and gaps of rows as results.py collects them; rows of an older config are left out."""
    append = _load("result_rows").append
    machine = {"date": "2026-01-02 03:04", "cpu": "x", "cores": 2, "threads": 1, "load_average": 0.5, "torch": "2"}
    for suite, aucs in (("tzx", (0.1, 0.70, 0.72)), ("fuxictr", (0.74, 0.74))):
        for seed, auc in enumerate(aucs):
            row = {"suite": suite, "kind": "auc", "model": "DeepFM", "seed": seed, "auc": auc, "log_loss": 0.5}
            row |= {"config": "old" if auc == 0.1 else "new", "samples_per_second": 1000.0 + seed, "parameters": 12345}
            append(folder / "rows.csv", row | machine | ({"fuxictr": "9.9"} if suite == "fuxictr" else {}))
    result = _run("results.py", folder, "write", "--results", "rows.csv", "--out", "results.md")
    assert result.returncode == 0, result.stderr
    line = next(line for line in (folder / "results.md").read_text().splitlines() if line.startswith("| DeepFM"))
    assert "0.7100 ± 0.0141" in line and "0.7400 ± 0.0000" in line and "**-0.0300**" in line and "12,345" in line


def test_the_results_page_is_made_of_the_rows_beside_it(folder: Path):
    result = _run("results.py", folder, "write", "--out", "page.md")
    assert result.returncode == 0, result.stderr
    assert (folder / "page.md").read_text() == (BENCHMARKS.parent / "docs" / "results.md").read_text()


@pytest.mark.slow
def test_every_entry_of_the_results_is_a_model():
    code = "import results as r; [r._count_parameters(r.config_of(e)) for e in r.ENTRIES.values()]"
    done = warm.run(["-c", code], cwd=BENCHMARKS)
    assert done.returncode == 0, done.stderr
