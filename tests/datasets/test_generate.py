import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from tzx.datasets import generate as module
from tzx.datasets.criteo import Criteo
from tzx.datasets.generate import LAYOUTS, Request, generate, summary
from tzx.runtime.errors import UserError


def _request(out: Path, layout: str = "criteo", **changes) -> Request:
    values = {"rows": 500, "test_rows": 120, "seed": 1, "files": 1, "formats": ("parquet",)} | changes
    return Request(layout=layout, out=out, **values)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", 100)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_rows_do_not_depend_on_the_number_of_files(tmp_path: Path, layout: str):
    parts = generate(_request(tmp_path / "one", layout))
    generate(_request(tmp_path / "many", layout, files=7))
    for part, rows in zip(("train", "test"), (500, 120), strict=True):
        files = sorted((tmp_path / "many" / part).iterdir())
        assert len(files) == 7
        sizes = [pq.read_metadata(file).num_rows for file in files]
        assert sum(sizes) == rows and max(sizes) - min(sizes) <= 1
        whole = pq.read_table(tmp_path / "one" / part / "part-00000.parquet")
        assert pa.concat_tables([pq.read_table(file) for file in files]).equals(whole)
    assert [part.rows for part in parts] == [500, 120]


def test_more_rows_extend_fewer_rows(tmp_path: Path):
    generate(_request(tmp_path / "few", rows=150))
    generate(_request(tmp_path / "more", rows=250))
    few, more = (pq.read_table(tmp_path / name / "train" / "part-00000.parquet") for name in ("few", "more"))
    assert more.slice(0, 150).equals(few)


def test_test_rows_are_others_than_training_rows(tmp_path: Path):
    generate(_request(tmp_path, rows=120))
    train, test = (pq.read_table(tmp_path / p / "part-00000.parquet") for p in ("train", "test"))
    assert not train["cat_2"].equals(test["cat_2"])


def test_reported_rate_and_best_auc_are_those_of_the_rows(tmp_path: Path):
    parts = generate(_request(tmp_path, rows=300))
    chunks = [Criteo(1).chunk(i, 100) for i in range(3)]
    labels = [x for chunk in chunks for x in chunk.table["label"].to_pylist()]
    truth = [x for chunk in chunks for x in chunk.probabilities["label"]]
    rate, auc = parts[0].labels["label"]
    assert rate == pytest.approx(sum(labels) / 300)
    assert auc == pytest.approx(roc_auc_score(labels, truth), abs=1e-3)
    shown = summary(parts)
    assert f"{auc:.4f}" in shown and str(tmp_path / "train") in shown


def test_files_of_another_run_are_not_mixed_in(tmp_path: Path):
    generate(_request(tmp_path, files=3))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    with pytest.raises(UserError, match=r"part-00002\.parquet is there already"):
        generate(_request(tmp_path, files=2))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before
    generate(_request(tmp_path, files=3))


@pytest.mark.parametrize(("field", "value"), [("rows", 0), ("test_rows", -1), ("files", 0)])
def test_senseless_numbers_are_refused(tmp_path: Path, field: str, value: int):
    with pytest.raises(UserError, match=f"--{field} is {value}"):
        generate(_request(tmp_path, **{field: value}))


def test_no_test_rows_write_no_test_part(tmp_path: Path):
    parts = generate(_request(tmp_path, test_rows=0))
    assert [part.rows for part in parts] == [500]
    assert not (tmp_path / "test").exists()


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", 65_536)
    generate(_request(tmp_path / "warm", rows=65_536 * 2, test_rows=0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    generate(_request(tmp_path / "long", rows=65_536 * 12, test_rows=0))
    # Ten more chunks as Arrow tables alone would take more than 200 MiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
