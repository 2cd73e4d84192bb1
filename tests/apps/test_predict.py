"""The predict app: bundle or checkpoint, CSV or Parquet, one process or two."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tzx.apps import predict
from tzx.runtime.errors import UserError

pytestmark = pytest.mark.slow


def flags(source, target, *more):
    return ("--predict_input_path", str(source), "--predict_output_path", str(target), *more)


def read(folder):
    """All parts of a folder in the order of the ranks."""
    tables = []
    for part in sorted(folder.iterdir(), key=lambda p: int(p.stem.removeprefix("part-"))):
        tables.append(pq.read_table(part) if part.suffix == ".parquet" else pacsv.read_csv(part))
    return pa.concat_tables(tables)


def two_processes(*args):
    """Both processes of a job at once, as a launcher starts them."""
    command = [sys.executable, "-m", "tzx.apps.predict", *args]
    started = [
        subprocess.Popen(
            command, env={**os.environ, **ranks(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    return [(process.communicate(timeout=300), process.returncode) for process in started]


def ranks(rank):
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}


def test_two_processes_write_what_one_writes(trained_run, bundle, tmp_path, capsys):
    more = ("--bundle", str(bundle), "--reserved_columns", "row,item", "--batch_size", "64")
    source = trained_run.root / "train.parquet"
    assert predict.main(list(flags(source, tmp_path / "one", *more))) == 0
    out = capsys.readouterr().out
    assert out.startswith("1,003 rows in ") and out.rstrip().endswith("one/part-0.parquet")
    for (out, err), code in two_processes(*flags(source, tmp_path / "two", *more)):
        assert code == 0, err
        assert out.split(" rows", 1)[0] in ("501", "502")
    check_equal(tmp_path, "parquet")


def test_csv_in_two_processes(trained_run, bundle, tmp_path, monkeypatch):
    more = ("--bundle", str(bundle), "--reserved_columns", "row,item", "--dataset_type", "CsvDataset")
    source = trained_run.root / "rows.csv"
    assert predict.main(list(flags(source, tmp_path / "one", *more))) == 0
    for rank in (1, 0):
        for name, value in ranks(rank).items():
            monkeypatch.setenv(name, value)
        assert predict.main(list(flags(source, tmp_path / "two", *more))) == 0
    check_equal(tmp_path, "csv")


def check_equal(folder, kind):
    assert sorted(p.name for p in (folder / "two").iterdir()) == [f"part-0.{kind}", f"part-1.{kind}"]
    alone, together = read(folder / "one"), read(folder / "two")
    assert alone.column_names == together.column_names == ["row", "item", "logits", "probs"]
    assert alone["row"].to_pylist() == together["row"].to_pylist() == list(range(1003))
    np.testing.assert_allclose(alone["probs"].to_numpy(), together["probs"].to_numpy(), atol=1e-6)


def test_checkpoint_and_bundle_agree(trained_run, bundle, tmp_path):
    source, config = trained_run.root / "train.parquet", str(trained_run.config)
    earlier = str(trained_run.root / "run" / "model.ckpt-3")
    predict.main(list(flags(source, tmp_path / "a", "--scripted_model_path", str(bundle))))
    predict.main(list(flags(source, tmp_path / "b", "--config", config, "--predict_threads", "2")))
    more = ("--config", config, "--checkpoint_path", earlier, "--output_columns", "probs")
    predict.main(list(flags(source, tmp_path / "c", *more)))
    a, b, c = (read(tmp_path / name) for name in "abc")
    np.testing.assert_allclose(a["probs"].to_numpy(), b["probs"].to_numpy(), atol=1e-5)
    assert c.column_names == ["probs"]
    assert np.abs(a["probs"].to_numpy() - c["probs"].to_numpy()).max() > 1e-4


def test_a_bad_row_ends_with_65_and_leaves_no_part(trained_run, bundle, tmp_path):
    text = (trained_run.root / "rows.csv").read_text().splitlines()
    text[900] = text[900].replace(",", ",x", 3)
    (tmp_path / "bad.csv").write_text("\n".join(text) + "\n")
    more = ("--bundle", str(bundle), "--dataset_type", "CsvDataset")
    done = trained_run.app("predict", *flags(tmp_path / "bad.csv", tmp_path / "out", *more))
    assert done.returncode == 65, done.stderr
    assert "bad.csv" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*"))


def test_what_to_predict_with_must_be_said_once(trained_run, bundle, tmp_path, capsys):
    source = trained_run.root / "train.parquet"
    for more in ((), ("--bundle", str(bundle), "--config", str(trained_run.config))):
        with pytest.raises(SystemExit) as raised:
            predict.main(list(flags(source, tmp_path / "o", *more)))
        assert raised.value.code == 2
        assert "give either --bundle, or --config" in capsys.readouterr().err


def test_refusals(trained_run, bundle, tmp_path):
    source = trained_run.root / "train.parquet"
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "part-0.parquet").write_text("mine")
    with pytest.raises(UserError, match=r"already holds part-0\.parquet"):
        predict.main(list(flags(source, tmp_path / "o", "--bundle", str(bundle))))
    assert (tmp_path / "o" / "part-0.parquet").read_text() == "mine"
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        predict.main(list(flags(source, tmp_path / "n", "--bundle", str(trained_run.root))))
    with pytest.raises(UserError, match="/no/such/"):
        predict.main(list(flags("/no/such/*.parquet", tmp_path / "n", "--bundle", str(bundle))))
    assert not (tmp_path / "n").exists()
