"""The generate_features app as processes of a job run it; what it writes is tested beside its code."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tzx.apps import generate_features
from tzx.runtime.config import load_config
from tzx.runtime.errors import UserError

pytestmark = pytest.mark.slow


def test_processes_share_the_rows_and_the_first_writes_the_config(trained_run, tmp_path, monkeypatch, capsys):
    target = tmp_path / "made"
    flags = ["--config", str(trained_run.config), "--output_path", str(target), "--reserved_columns", "row"]
    flags += ["--eval_input_path", ""]
    for rank in (1, 0):
        for name, value in (("RANK", rank), ("WORLD_SIZE", 2), ("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", 2)):
            monkeypatch.setenv(name, str(value))
        assert generate_features.main(flags) == 0
        assert (target / "pipeline.config").exists() == (rank == 0)
    assert "train on it: python -m tzx.apps.train --config" in capsys.readouterr().out
    config = load_config(str(target / "pipeline.config"))
    files = config.train_input_path.split(",")
    assert files == [f"{target}/train/part-{rank}.parquet" for rank in (0, 1)] and not config.eval_input_path
    rows = pa.concat_tables([pq.read_table(file) for file in files])
    assert rows["row"].to_pylist() == list(range(1003))
    assert [p.name for p in (target / "train").iterdir() if p.name.startswith(".")] == []


def test_what_cannot_be_written_or_read(trained_run, tmp_path):
    flags = ["--config", str(trained_run.config), "--output_path", str(tmp_path)]
    with pytest.raises(UserError, match="there is nothing to read"):
        generate_features.main([*flags, "--train_input_path", "", "--eval_input_path", ""])
    with pytest.raises(SystemExit):
        generate_features.main([*flags, "--threads", "0"])
