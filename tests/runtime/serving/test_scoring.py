"""Scoring a data set: order, columns, several processes, and what stays behind after a failure."""

import json
import os
import re
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch

from tzx.runtime.errors import DataError, UserError
from tzx.runtime.serving import Predictor, scoring
from tzx.runtime.serving.parts import check_output
from tzx.runtime.serving.predictor import edited_config
from tzx.runtime.serving.scoring import ScoringOptions, score, to_arrow


@pytest.fixture(scope="module")
def predictor(bundles):
    return Predictor(bundles("multi_tower"))


@pytest.fixture
def options(data, tmp_path):
    def make(**changes):
        given = {"input_path": str(data.root / "train.parquet"), "output_path": str(tmp_path / "out"), "batch_size": 32}
        return ScoringOptions(**{**given, **changes})

    return make


def parts(folder):
    return sorted(p.name for p in folder.iterdir())


def test_rows_keep_their_order_and_reserved_columns_come_first(predictor, options, data, tmp_path):
    summary = score(predictor, options(reserved_columns=("row", "price"), threads=3))
    assert summary.rows == 300 and summary.file == str(tmp_path / "out" / "part-0.parquet")
    table = pq.read_table(tmp_path / "out")
    assert table.column_names == ["row", "price", "logits", "probs", "probs1"]
    assert table["row"].to_pylist() == list(range(300))
    assert table["price"].equals(data.rows["price"])
    wanted = predictor.predict(data.rows.combine_chunks().to_batches()[0])
    np.testing.assert_allclose(np.array(table["logits"].to_pylist()), wanted["logits"], atol=1e-5)
    np.testing.assert_allclose(table["probs1"].to_numpy(), wanted["probs1"], atol=1e-5)
    assert table.schema.field("probs").type == pa.list_(pa.float32())
    assert table.schema.field("probs1").type == pa.float32()


def test_several_processes_write_what_one_does(predictor, options, data, tmp_path):
    score(predictor, options(output_path=str(tmp_path / "one"), reserved_columns=("row",)))
    for rank in (1, 0, 2):
        score(
            predictor, options(output_path=str(tmp_path / "three"), reserved_columns=("row",), rank=rank, world_size=3)
        )
    assert parts(tmp_path / "three") == [f"part-{rank}.parquet" for rank in range(3)]
    together = pa.concat_tables([pq.read_table(tmp_path / "three" / f"part-{rank}.parquet") for rank in range(3)])
    assert together["row"].to_pylist() == list(range(300))
    alone = pq.read_table(tmp_path / "one")
    np.testing.assert_allclose(together["probs1"].to_numpy(), alone["probs1"].to_numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("reserved", "expected"),
    [
        (("ALL_COLUMNS",), None),
        (
            ("ALL_EFFECTIVE_COLUMNS",),
            {"user", "item", "tags", "likes", "price", "shape", "clicks__item", "clicks__price"},
        ),
        ((), set()),
    ],
)
def test_reserved_columns_by_keyword(predictor, options, data, tmp_path, reserved, expected):
    score(predictor, options(reserved_columns=reserved))
    names = set(pq.read_table(tmp_path / "out").column_names) - {"logits", "probs", "probs1"}
    assert names == (set(data.rows.column_names) if expected is None else expected)


def test_output_columns_are_chosen_and_ordered(predictor, options, tmp_path):
    score(predictor, options(output_columns=("probs1", "logits")))
    assert pq.read_table(tmp_path / "out").column_names == ["probs1", "logits"]
    with pytest.raises(UserError, match=r"gives logits, probs, probs1; it has no prediction prob1.*did you mean"):
        score(predictor, options(output_path=str(tmp_path / "other"), output_columns=("prob1",)))
    assert not (tmp_path / "other").exists()


def test_csv_in_and_out(predictor, options, data, tmp_path):
    scalars = [name for name in data.rows.column_names if not name.startswith("clicks")]
    pacsv.write_csv(data.rows.select([*scalars, "clicks__item", "clicks__price"]), tmp_path / "rows.csv")
    config = edited_config(
        predictor.path, ["data_config.dataset_type=CsvDataset", "data_config.with_header=true"], None
    )
    score(
        Predictor(predictor.path, config=config),
        options(input_path=str(tmp_path / "rows.csv"), reserved_columns=("row",)),
    )
    table = pacsv.read_csv(tmp_path / "out" / "part-0.csv")
    wanted = predictor.predict(data.rows.combine_chunks().to_batches()[0])
    assert table["row"].to_pylist() == list(range(300))
    np.testing.assert_allclose(table["probs1"].to_numpy(), wanted["probs1"], atol=1e-5)


def test_writer_can_be_chosen(predictor, options, tmp_path):
    score(predictor, options(writer_type="CsvWriter"))
    assert parts(tmp_path / "out") == ["part-0.csv"]
    with pytest.raises(UserError, match="it can be ParquetWriter or CsvWriter"):
        score(predictor, options(writer_type="OdpsWriter"))


def test_limited_number_of_batches(predictor, options, tmp_path):
    assert score(predictor, options(max_batches=2)).rows == 64
    assert pq.read_table(tmp_path / "out").num_rows == 64


def test_nothing_is_overwritten(predictor, options, tmp_path):
    score(predictor, options())
    before = (tmp_path / "out" / "part-0.parquet").read_bytes()
    with pytest.raises(UserError, match=r"already holds part-0\.parquet"):
        score(predictor, options())
    with pytest.raises(UserError, match=r"already holds part-0\.parquet"):
        score(predictor, options(writer_type="CsvWriter"))
    assert (tmp_path / "out" / "part-0.parquet").read_bytes() == before


def test_parts_of_earlier_runs_are_told_from_those_of_sisters(tmp_path):
    part = tmp_path / "part-1.parquet"
    part.write_text("x")
    check_output(str(tmp_path), 0, 2)  # young: a sister process was quick
    check_output(str(tmp_path / "new"), 0, 2)
    with pytest.raises(UserError, match=r"part-1\.parquet"):
        check_output(str(tmp_path), 0, 1)  # there is no process 1 in this run
    os.utime(part, (time.time() - 90_000,) * 2)
    with pytest.raises(UserError, match=r"part-1\.parquet"):
        check_output(str(tmp_path), 0, 2)
    with pytest.raises(UserError, match="is a file"):
        check_output(str(part), 0, 1)


def test_a_bad_row_leaves_no_file(predictor, options, data, tmp_path):
    shape = data.rows["shape"].to_pylist()
    shape[250] = "a,b"
    at = data.rows.column_names.index("shape")
    pq.write_table(data.rows.set_column(at, "shape", [shape]), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"column 'shape'.*bad\.parquet.* row 250"):
        score(predictor, options(input_path=str(tmp_path / "bad.parquet")))
    assert parts(tmp_path / "out") == []


class Watched:
    """A predictor that notes how many threads operations have where it scores."""

    def __init__(self, predictor):
        self.predictor = predictor
        self.threads = set()

    def __getattr__(self, name):
        return getattr(self.predictor, name)

    def predict_batch(self, batch):
        self.threads.add(torch.get_num_threads())
        return self.predictor.predict_batch(batch)


def test_batches_share_the_cores(predictor, options, monkeypatch):
    monkeypatch.setattr(scoring, "cores_for_me", lambda _: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    watched = Watched(predictor)
    score(watched, options(threads=4))
    assert watched.threads == {3}


class Failing:
    """A scorer that fails at its fourth batch."""

    def __init__(self, predictor):
        self.config, self.features, self.layout = predictor.config, predictor.features, predictor.layout
        self.output_names, self.device = predictor.output_names, predictor.device
        self.calls = 0
        self._predictor = predictor

    def predict_batch(self, batch):
        self.calls += 1
        if self.calls == 4:
            raise RuntimeError("the device is gone")
        return self._predictor.predict_batch(batch)


def test_a_failing_model_leaves_no_file_and_stops_early(predictor, options, tmp_path):
    failing = Failing(predictor)
    with pytest.raises(RuntimeError, match="the device is gone"):
        score(failing, options(batch_size=4, threads=1))
    assert parts(tmp_path / "out") == []
    assert failing.calls < 20, "75 batches were there"


def test_more_processes_than_rows(predictor, options, data, tmp_path):
    pq.write_table(data.rows.slice(0, 2), tmp_path / "two.parquet")
    summaries = [
        score(predictor, options(input_path=str(tmp_path / "two.parquet"), rank=rank, world_size=3))
        for rank in range(3)
    ]
    assert sum(s.rows for s in summaries) == 2
    assert [bool(s.file) for s in summaries] == [s.rows > 0 for s in summaries]
    assert len(parts(tmp_path / "out")) == 2


def test_reserved_column_named_like_a_prediction(predictor, options, data, tmp_path):
    pq.write_table(data.rows.append_column("probs", data.rows["price"]), tmp_path / "named.parquet")
    with pytest.raises(UserError, match="share the name probs"):
        score(predictor, options(input_path=str(tmp_path / "named.parquet"), reserved_columns=("probs",)))


def test_labels_need_not_be_there(predictor, options, data, tmp_path):
    pq.write_table(data.rows.drop_columns(["click", "stars", "row"]), tmp_path / "bare.parquet")
    assert score(predictor, options(input_path=str(tmp_path / "bare.parquet"))).rows == 300


def test_missing_input(predictor, options):
    with pytest.raises(UserError, match="nowhere"):
        score(predictor, options(input_path="/nowhere/*.parquet"))


def test_nested_predictions_become_lists_of_lists():
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    assert to_arrow(values).to_pylist() == values.tolist()
    assert to_arrow(values).type == pa.list_(pa.list_(pa.float32()))
    assert to_arrow(np.empty((0, 3), np.int64)).type == pa.list_(pa.int64())
    assert to_arrow(np.array([1, 2])).to_pylist() == [1, 2]


def test_what_the_model_saw(predictor, options, data, tmp_path):
    score(predictor, options(with_features=True))
    table = pq.read_table(tmp_path / "out")
    assert table.column_names[-1] == "__features__"
    seen = [json.loads(text) for text in table["__features__"].to_pylist()]
    assert list(seen[0]) and set(seen[0]) == set(predictor.features.by_name)
    for row, given in zip(seen, data.rows.to_pylist(), strict=True):
        assert row["tags"] == [int(tag) for tag in given["tags"].split("\x1d") if tag]
        assert [i for i, _ in row["likes"]] == [int(p.split(":")[0]) for p in given["likes"].split("\x1d") if p]
        assert row["price"] == [pytest.approx(np.log10(given["price"]), abs=1e-5)]
        if given["clicks__item"]:
            assert len(row["clicks__item"]) == len(given["clicks__item"].split(";"))
            assert row["clicks__price"] == [[0.5]] * len(row["clicks__item"])


def test_profile_of_a_few_batches(predictor, options, tmp_path):
    score(predictor, options(batch_size=10, trace_dir=str(tmp_path / "out_trace")))
    (trace,) = (tmp_path / "out_trace").glob("rank0*.json")
    assert "aten::linear" in trace.read_text()
    assert pq.read_table(tmp_path / "out").num_rows == 300


def test_progress_lines_say_how_far_and_how_fast(predictor, options, monkeypatch, caplog):
    monkeypatch.setattr(scoring, "_LINE_EVERY_SECONDS", 0.0)
    with caplog.at_level("INFO", "tzx"):
        score(predictor, options(batch_size=150, threads=1))
    assert re.search(r"predict  150 rows, 50%  [\d,]+ rows/s  waiting for data \d+\.\d%", caplog.text)
    assert "300 rows, 100%" in caplog.text
