"""docs/data.md names the fields that decide how data is read, and its example runs."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format

from tzx.runtime.protos.data_pb2 import DataConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

TEXT = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
ELSEWHERE = {  # features, samplers, or sources that this version does not read
    "fg_encoded", "fg_encoded_multival_sep", "fg_threads", "bad_value_policy", "is_orderby_partition",
    "odps_data_quota_name",
    "odps_data_compression", "negative_sample_mask_prob", "force_base_data_group", "in_order",
    "negative_sampler", "negative_sampler_v2", "hard_negative_sampler", "hard_negative_sampler_v2", "tdm_sampler",
}  # fmt: skip


def test_every_field_is_described() -> None:
    missing = [f.name for f in DataConfig.DESCRIPTOR.fields if f.name not in ELSEWHERE and f"`{f.name}" not in TEXT]
    assert [name for name in missing if not re.search(rf"\b{name}:", TEXT)] == []


def test_the_config_parses() -> None:
    example = TEXT.split("```protobuf\n")[1].split("```")[0]
    config = text_format.Parse('model_dir: "m" ' + example, EasyRecConfig())
    assert config.data_config.shuffle


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    table = pa.table({"user_id": range(3000), "clicked": [0] * 3000})
    pq.write_table(table, tmp_path / "data" / "train" / "a.parquet", row_group_size=1500)
    monkeypatch.chdir(tmp_path)
    code = TEXT.split("```python\n")[1].split("```")[0]
    exec(compile(code, "docs/data.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3000 ")
    assert sum(int(line.split()[0]) for line in lines if "a.parquet" in line) == 1000
