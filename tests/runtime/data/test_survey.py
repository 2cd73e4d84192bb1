"""Counting a data set in parts, on any number of processes, and the files that come of it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tzx.runtime.data.report_files import make_place, write_report
from tzx.runtime.data.survey import SurveyOptions, survey
from tzx.runtime.errors import DataError, UserError
from tzx.runtime.features.statistics import DataStatistics

TEXTS = """
id_feature { feature_name: "row" expression: "user:row" hash_bucket_size: 1000 embedding_dim: 4 }
raw_feature { feature_name: "x" expression: "item:x" boundaries: [5, 10] embedding_dim: 4 }
"""


@pytest.fixture(name="counted")
def _counted(kit, tmp_path):
    config = kit.data_config(fg_mode="FG_DAG")
    paths = kit.write_files(tmp_path, [50, 0, 23, 40])

    def count(**options) -> DataStatistics:
        return survey(config, kit.feature_set(config, TEXTS), paths, SurveyOptions(**options))

    return count


def summaries(statistics: DataStatistics) -> dict:
    record = json.loads(statistics.dumps())
    return {name: one["summary"] for name, one in record["features"].items()} | {"rows": record["rows"]}


@pytest.mark.parametrize("world", [1, 2, 3, 200])
def test_processes_together_count_what_one_counts(counted, world: int):
    whole = counted(batch_rows=1000)
    parts = [counted(rank=rank, world_size=world, batch_rows=9) for rank in range(world)]
    assert sum(part.rows for part in parts) == whole.rows == 113
    first, *others = parts
    for other in others:
        first.merge(DataStatistics.from_json(json.loads(other.dumps())))
    one, many = summaries(whole), summaries(first)
    assert one["row"]["distinct"] == many["row"]["distinct"] == 113
    assert many["x"]["numbers"]["mean"] == whole.features["x"].numbers.mean
    for name in ("coverage", "below_first_boundary_share", "above_last_boundary_share", "top", "distinct"):
        assert many["x"][name] == one["x"][name]


def test_the_first_rows_only(counted):
    assert counted(max_rows=60).rows == 60
    assert counted(max_rows=1000).rows == 113
    assert counted(max_rows=60).features["x"].numbers.high == 29.5


def test_a_missing_column_is_told_before_counting(kit, tmp_path):
    config = kit.data_config(fg_mode="FG_DAG")
    pq.write_table(pa.table({"row": [1], "xx": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column 'x'; did you mean 'xx'"):
        survey(config, kit.feature_set(config, TEXTS), str(tmp_path), SurveyOptions())


def test_files_replace_older_ones(counted, tmp_path):
    out = tmp_path / "deep" / "report"
    write_report(counted(max_rows=5), str(out))
    places = write_report(counted(), str(out))
    assert places == [str(out / "statistics.json"), str(out / "statistics.html")]
    assert sorted(file.name for file in out.iterdir()) == ["statistics.html", "statistics.json"]
    assert DataStatistics.from_json(json.loads((out / "statistics.json").read_text())).rows == 113
    assert "113 rows, 2 features" in (out / "statistics.html").read_text()


def test_files_go_to_urls(counted):
    write_report(counted(), "memory://survey/out")
    import fsspec

    assert json.loads(fsspec.filesystem("memory").cat("/survey/out/statistics.json"))["rows"] == 113


def test_a_file_in_the_way_is_the_users_to_remove(counted, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"output_dir .*taken"):
        make_place(str(tmp_path / "taken"))
