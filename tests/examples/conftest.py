"""Small data where the example configs expect theirs, relative to a working directory."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tzx.datasets import adult, criteo, movielens, taobao
from tzx.datasets.generate import Request, generate
from tzx.datasets.writing import write_table

sys.path.insert(0, str(Path(__file__).parent))  # for small_tables

from small_tables import FEW_IDS

ROWS = 600


def _draw_few_ids(patch: pytest.MonkeyPatch) -> None:
    """Let the generators draw ids below FEW_IDS."""
    patch.setattr(criteo, "TABLE_ROWS", (FEW_IDS,) * len(criteo.TABLE_ROWS))
    for name, count in (("USERS", 900), ("ADS", 900), ("CATEGORIES", 90), ("BRANDS", 200)):
        patch.setattr(taobao, name, count)
    for name in ("CAMPAIGNS", "CUSTOMERS"):
        patch.setattr(taobao, name, 300)


def _movielens() -> movielens.MovieLens:
    rng = np.random.default_rng(0)
    pairs = rng.choice(40 * 60, ROWS, replace=False)
    ratings = pa.table(
        {
            "user_id": pairs % 40 + 1,
            "item_id": pairs // 40 + 1,
            "rating": rng.integers(1, 6, ROWS),
            "timestamp": rng.integers(0, 500, ROWS),
        }
    )
    users = pa.table(
        {
            "user_id": np.arange(1, 41),
            "age": rng.integers(7, 74, 40),
            "gender": rng.choice(["F", "M"], 40),
            "occupation": rng.choice(["writer", "none"], 40),
            "zip_area": ["z12"] * 40,
        }
    )
    items = pa.table(
        {
            "item_id": np.arange(1, 61),
            "title": [f"Film {i}" for i in range(60)],
            "year": pa.array([None, *range(1940, 1999)]),
            "genres": rng.choice(["Drama", "Action|Drama", "unknown"], 60),
        }
    )
    return movielens.MovieLens(ratings, users, items)


def _adult() -> pa.Table:
    rng = np.random.default_rng(0)
    numbers = {"age": 90, "fnlwgt": 1000, "education_num": 16, "hours_per_week": 99, "capital_gain": 9000}
    numbers["capital_loss"] = 3000
    columns = {name: rng.integers(0, most, ROWS) for name, most in numbers.items()}
    columns |= {name: rng.choice(["a", "b", "?"], ROWS) for name in adult._COLUMNS if name not in columns}
    columns["income"] = rng.choice(["<=50K", ">50K"], ROWS)
    return adult.people(pa.table(columns))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/movielens, data/adult, data/criteo, data/criteo_hashed and data/taobao."""
    root = tmp_path_factory.mktemp("small")
    for split, parts in movielens.prepare(_movielens(), 1).items():
        for part, table in parts.items():
            write_table(table, root / "data" / "movielens" / split / part, "parquet")
    for part, table in adult.prepare(_adult(), 1).items():
        write_table(table, root / "data" / "adult" / part, "parquet")
    with pytest.MonkeyPatch.context() as patch:
        _draw_few_ids(patch)
        for layout in ("criteo", "criteo_hashed", "taobao"):
            generate(Request(layout, root / "data" / layout, ROWS, ROWS // 4, 1, 2, ("parquet",)))
    return root
