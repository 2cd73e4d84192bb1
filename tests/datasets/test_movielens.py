from collections import defaultdict
from pathlib import Path

import pytest

from tzx.datasets import movielens
from tzx.datasets.sources import SourceFiles
from tzx.runtime.errors import DataError, UserError


@pytest.fixture(scope="module")
def data(raw_movielens) -> movielens.MovieLens:
    return movielens.read(SourceFiles(raw_movielens.grouplens))


@pytest.fixture(scope="module")
def splits(data):
    return movielens.prepare(data, 11)


def test_both_raw_layouts_give_the_same_tables(raw_movielens, data):
    other = movielens.read(SourceFiles(raw_movielens.recbole))
    for name in ("ratings", "users", "items"):
        assert getattr(data, name).equals(getattr(other, name)), name


def test_events_carry_attributes_and_labels(raw_movielens, data):
    rows = movielens.events(data).to_pylist()
    assert len(rows) == len(raw_movielens.ratings)
    for row, (user, item, rating, time) in zip(rows, raw_movielens.ratings, strict=True):
        age, gender, occupation, zip_code = raw_movielens.users[user]
        title, year, genres = raw_movielens.items[item]
        assert (row["user_id"], row["item_id"], row["rating"], row["timestamp"]) == (user, item, rating, time)
        assert (row["age"], row["gender"], row["occupation"]) == (age, gender, occupation)
        assert row["zip_area"] == "z" + zip_code[:2]
        assert (row["title"], row["year"], row["genres"]) == (title, year, "|".join(genres))
        assert (row["liked"], row["loved"]) == (int(rating >= 4), int(rating == 5))


def test_random_parts_hold_every_rating_once(raw_movielens, splits):
    pairs = [(r["user_id"], r["item_id"]) for part in splits["random"].values() for r in part.to_pylist()]
    assert sorted(pairs) == sorted((user, item) for user, item, _, _ in raw_movielens.ratings)
    assert [part.num_rows for part in splits["random"].values()] == [800, 100, 100]


def test_time_parts_follow_each_other(splits):
    ranges = [(min(t), max(t)) for t in (part["timestamp"].to_pylist() for part in splits["time"].values())]
    assert ranges[0][1] < ranges[1][0] and ranges[1][1] < ranges[2][0]


def test_histories_hold_only_what_the_user_did_before(raw_movielens, splits):
    by_user = defaultdict(list)
    for user, item, rating, time in raw_movielens.ratings:
        by_user[user].append((time, item, rating))
    seen_any = 0
    for part in splits["time"].values():
        for row in part.to_pylist():
            past = {(item, rating): t for t, item, rating in by_user[row["user_id"]] if t < row["timestamp"]}
            history = list(zip(row["hist__item_id"], row["hist__rating"], strict=True))
            assert row["item_id"] not in row["hist__item_id"]
            assert set(history) <= set(past) and len(set(history)) == len(history)
            assert len(history) == min(len(past), movielens.HISTORY_LENGTH)
            genres = ["|".join(raw_movielens.items[item][2]) for item, _ in history]
            assert row["hist__genres"] == genres
            times = [past[event] for event in history]
            assert times == sorted(times, reverse=True)
            seen_any += bool(history)
    assert seen_any > 500


def test_seed_decides_the_split(data):
    one, same, other = (movielens.prepare(data, seed) for seed in (11, 11, 12))
    assert one["random"]["test"].equals(same["random"]["test"])
    assert not one["random"]["test"].equals(other["random"]["test"])
    assert one["time"]["test"].equals(other["time"]["test"])


def test_a_broken_line_is_named(tmp_path: Path, raw_movielens):
    for path in raw_movielens.grouplens.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "u.data").write_text("1\t2\t3\t4\n1\t2\t3\n")
    with pytest.raises(DataError, match=r"u\.data line 2 has 3 fields, expected 4"):
        movielens.read(SourceFiles(tmp_path))
    (tmp_path / "u.data").write_text("1\t2\tfour\t4\n")
    with pytest.raises(DataError, match=r"column rating: .*four"):
        movielens.read(SourceFiles(tmp_path))
    (tmp_path / "u.data").write_text("1\t9999\t4\t4\n")
    with pytest.raises(DataError, match="item_id 9999"):
        movielens.events(movielens.read(SourceFiles(tmp_path)))


def test_a_folder_without_the_data_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"neither u\.data"):
        movielens.read(SourceFiles(tmp_path))
