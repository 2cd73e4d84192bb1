"""Small batches whose features are made at once are those that are made one by one."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch import Tensor

from tzx.runtime.data import loader as module
from tzx.runtime.data.batch import Batch
from tzx.runtime.errors import DataError
from tzx.runtime.features import FeatureSet
from tzx.runtime.protos import data_pb2

Kit = Any

FEATURES = """
id_feature { feature_name: "id" expression: "user:text" hash_bucket_size: 100 embedding_dim: 4 use_mask: true }
id_feature { feature_name: "bag" expression: "user:bag" hash_bucket_size: 100 embedding_dim: 4 }
id_feature { feature_name: "weighted" expression: "user:weighted" hash_bucket_size: 9 embedding_dim: 4 weighted: true }
raw_feature { feature_name: "x" expression: "item:x" }
sequence_id_feature { feature_name: "steps" expression: "user:steps" hash_bucket_size: 9 sequence_length: 3 }
sequence_raw_feature { feature_name: "times" expression: "user:times" sequence_length: 3 }
"""


def _write(path: Path, rows: int) -> str:
    random = np.random.default_rng(1)
    counts = random.integers(0, 4, rows)
    table = pa.table({
        "text": [f"t{i % 37}" for i in range(rows)],
        "bag": ["\x1d".join(f"b{i + k}" for k in range(n)) for i, n in enumerate(counts)],
        "weighted": ["\x1d".join(f"w{k}:0.{k + 1}" for k in range(n)) for n in counts],
        "x": random.random(rows),
        "steps": [";".join(f"s{i + k}" for k in range(n)) for i, n in enumerate(counts)],
        "times": [";".join(f"{k}.5" for k in range(n)) for n in counts],
        "label": random.integers(0, 2, rows),
        "clicks": [list(range(n)) for n in counts],
        "weight": random.random(rows),
    })  # fmt: skip
    pq.write_table(table, path / "rows.parquet", row_group_size=50)
    return str(path / "rows.parquet")


def _tensors(value: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor in a batch, and where it is."""
    if isinstance(value, Tensor):
        yield f"{value.dtype}", (tuple(value.shape), value.tolist())
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from ((f"{name}/{where}", found) for where, found in _tensors(one))
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for each in fields(value):
            yield from ((f"{each.name}/{where}", found) for where, found in _tensors(getattr(value, each.name)))


def _content(batch: Batch) -> dict[str, Any]:
    rows = None if batch.rows is None else batch.rows.tolist()
    return dict(_tensors(batch)) | {"size": batch.size, "position": batch.position, "rows": rows}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_remainder", [False, True])
@pytest.mark.parametrize("start", [0, 3])
def test_batches_made_at_once_are_those_made_one_by_one(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch, shuffle: bool, drop_remainder: bool, start: int
) -> None:
    path = _write(tmp_path, 205)
    config = kit.data_config(
        batch_size=20,
        shuffle=shuffle,
        shuffle_buffer_size=3,
        drop_remainder=drop_remainder,
        fg_mode=data_pb2.FG_DAG,
        sample_mask_prob=0.3,
        label_fields=["label", "clicks"],
        sample_weight_fields=["weight"],
    )
    features = kit.feature_set(config, FEATURES)

    def epoch(rows: int) -> list[dict[str, Any]]:
        monkeypatch.setattr(module, "_TOGETHER_ROWS", rows)
        loader = kit.loader(config, features, path, num_workers=0, seed=4)
        at = list(loader.epoch(1))[start - 1].position if start else None
        return [_content(batch) for batch in loader.epoch(1, at)]

    one_by_one = epoch(0)
    assert len(one_by_one) == (10 if drop_remainder else 11) - start
    assert "jagged_labels/clicks/values/torch.int64" in one_by_one[0]
    assert epoch(8192) == one_by_one
    assert epoch(60) == one_by_one


@pytest.mark.parametrize(
    ("fields", "calls"),
    [({"batch_size": 10}, 10), ({"batch_size": 200}, 1), ({"batch_size": 3000}, 1), ({"batch_size": 4096}, 2),
     ({"batch_size": 1000, "bad_value_policy": data_pb2.BAD_VALUE_DEFAULT}, 6)],
)  # fmt: skip
def test_how_often_features_are_made(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], calls: int
) -> None:
    path = kit.write_files(tmp_path, [6000], group=6000)
    config = kit.data_config(**fields)
    made = []
    generate = FeatureSet.generate
    monkeypatch.setattr(FeatureSet, "generate", lambda *args: made.append(args) or generate(*args))
    batches = list(kit.loader(config, kit.feature_set(config), path, num_workers=0).epoch())
    assert len(batches) == -(-6000 // config.batch_size)
    assert len(made) == calls


@pytest.mark.parametrize("threads", [1, 2])
def test_batches_before_a_bad_row_come_out(tmp_path: Path, kit: Kit, threads: int) -> None:
    rows = [str(i) for i in range(60)]
    rows[43] = "not a number"
    table = pa.table({"row": rows, "x": np.zeros(60), "label": np.zeros(60, int)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    config = kit.data_config(fg_mode=data_pb2.FG_DAG, fg_threads=threads)
    epoch = kit.loader(config, kit.feature_set(config), str(tmp_path / "a.parquet"), num_workers=0).epoch()
    assert [next(epoch).rows[0] for _ in range(4)] == [0, 10, 20, 30]
    with pytest.raises(DataError, match=r"feature 'row'.*row group 4, row 43"):
        next(epoch)
