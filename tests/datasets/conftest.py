"""A small data set in the two raw layouts of MovieLens-100K, made of the same facts."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip


@dataclass(frozen=True)
class RawMovieLens:
    grouplens: Path
    recbole: Path
    ratings: list[tuple[int, int, int, int]]
    users: dict[int, tuple[int, str, str, str]]
    items: dict[int, tuple[str, int | None, list[str]]]


def _facts(seed: int) -> tuple[list, dict, dict]:
    rng = random.Random(seed)
    users = {u: (rng.randint(7, 73), rng.choice("MF"), rng.choice(["writer", "none"]), "02138") for u in range(1, 41)}
    users[3] = (60, "F", "retired", "T8H1N")
    items = {i: (f"Film, The {i}", 1920 + i, rng.sample(GENRES[1:], rng.randint(1, 3))) for i in range(1, 61)}
    items = {i: (title, year, sorted(genres, key=GENRES.index)) for i, (title, year, genres) in items.items()}
    items[7] = ("unknown", None, ["unknown"])
    pairs = rng.sample([(u, i) for u in users for i in items], 1000)
    # Few instants, so that ties happen often.
    ratings = [(u, i, rng.randint(1, 5), 874_724_710 + rng.randint(0, 60)) for u, i in pairs]
    return ratings, users, items


@pytest.fixture(scope="session")
def raw_movielens(tmp_path_factory: pytest.TempPathFactory) -> RawMovieLens:
    ratings, users, items = _facts(5)
    grouplens, recbole = tmp_path_factory.mktemp("ml-100k"), tmp_path_factory.mktemp("atomic")
    _write(grouplens / "u.data", ["\t".join(map(str, row)) for row in ratings])
    _write(grouplens / "u.user", ["|".join(map(str, (u, *row))) for u, row in users.items()])
    lines = []
    for item, (title, year, genres) in items.items():
        flags = "|".join("1" if genre in genres else "0" for genre in GENRES)
        shown, released = (title, "") if year is None else (f"{title} ({year})", f"01-Jan-{year}")
        lines.append(f"{item}|{shown}|{released}||http://example.org/?{item}|{flags}")
    (grouplens / "u.item").write_text("\n".join(lines), encoding="latin-1")

    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    _write(recbole / "ml-100k.inter", [header, *("\t".join(map(str, row)) for row in ratings)])
    header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"
    _write(recbole / "ml-100k.user", [header, *("\t".join(map(str, (u, *row))) for u, row in users.items())])
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    rows = [f"{i}\t{title}\t{year or 'unkonwn'}\t{' '.join(genres)}" for i, (title, year, genres) in items.items()]
    _write(recbole / "ml-100k.item", [header, *rows])
    return RawMovieLens(grouplens, recbole, ratings, users, items)


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
