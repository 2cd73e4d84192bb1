"""Rows in the layout of the public Taobao display ad data: click and purchase labels, user, ad, and click history.

Attributes of a user or an ad are functions of its id, so a million of them need no table. The planted signal: users
have a theme (by age and gender, mostly), ads take theirs from their category, and people click what fits the theme and
what resembles their history; whether a click becomes a purchase depends on price, spending level and the theme too.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tzx.datasets.hashing import normal, pick, uniform
from tzx.datasets.layouts import Chunk
from tzx.datasets.planted import bias_for_rate, draw, sigmoid

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

# Distinct values in the public data; ids run from 1.
USERS, ADS, CATEGORIES, BRANDS, CAMPAIGNS, CUSTOMERS = 1_141_729, 846_811, 12_960, 461_497, 423_436, 255_875
HISTORY_LENGTH = 50
CLICK_RATE, PURCHASE_RATE = 0.1, 0.25  # the second among clicks
THEMES = 8

_CALIBRATION_CHUNK = 2**31
_ON_THEME = 0.6  # share of the history, and of the shown ads, that fits the user's theme
_PLACEMENTS = ("430539_1007", "430548_1007")
_FAVOURITES = 3


@dataclass(frozen=True)
class _Draw:
    """Users [rows], shown ads [rows], and the histories: flat ads newest first with offsets [rows + 1]."""

    user: Int64
    ad: Int64
    placement: Int64
    past: Int64
    offsets: npt.NDArray[np.int32]


@dataclass
class Taobao:
    """Generator of rows; the same seed and chunk give the same rows.

    Args:
        seed: of all that is random.
        history_length: clicks of the longest history; its columns are called click_50_seq whatever it is, so that
            configs of the public layout read them.
    """

    seed: int
    history_length: int = HISTORY_LENGTH
    labels: tuple[str, ...] = ("clk", "buy")
    _bias: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        logits = self._logits(self._draw(np.random.default_rng([self.seed, _CALIBRATION_CHUNK]), 1 << 15))
        click = bias_for_rate(logits[0], CLICK_RATE)
        weights = sigmoid(logits[0] + click)
        clicked = draw(weights, np.random.default_rng([self.seed, _CALIBRATION_CHUNK, 1])) == 1
        self._bias = click, bias_for_rate(logits[1][clicked], PURCHASE_RATE)

    @property
    def schema(self) -> pa.Schema:
        """Columns of a chunk."""
        return self.chunk(0, 1).table.schema

    def chunk(self, index: int, rows: int) -> Chunk:
        """The rows of chunk `index` with the probabilities of their labels."""
        rng = np.random.default_rng([self.seed, 2, index])
        drawn = self._draw(rng, rows)
        click_logit, buy_logit = self._logits(drawn)
        click = sigmoid(click_logit + self._bias[0])
        buy = sigmoid(buy_logit + self._bias[1])
        clk = draw(click, rng)
        labels = {"clk": pa.array(clk), "buy": pa.array(clk * draw(buy, rng))}
        placement = pa.array(np.array(_PLACEMENTS)[drawn.placement])
        columns = labels | {"pid": placement} | _ad_columns(drawn.ad) | self._user_columns(drawn.user)
        columns |= _history_columns(drawn)
        return Chunk(pa.table(columns), {"clk": click, "buy": click * buy})

    def _draw(self, rng: np.random.Generator, rows: int) -> _Draw:
        user = _skewed(rng.random(rows), USERS)
        theme = self._theme_of_user(user)
        lengths = np.floor((self.history_length + 1) * rng.random(rows) ** 2).astype(np.int64)  # many short, few long
        past = self._some_ads(rng, np.repeat(theme, lengths))
        offsets = np.r_[0, np.cumsum(lengths)].astype(np.int32)
        return _Draw(user, self._some_ads(rng, theme), rng.integers(0, len(_PLACEMENTS), rows), past, offsets)

    def _some_ads(self, rng: np.random.Generator, theme: Int64) -> Int64:
        """One ad for each theme, often one that fits it; category c holds the ads c, c + CATEGORIES, ..."""
        rows = len(theme)
        anywhere = _skewed(rng.random(rows), CATEGORIES)
        fitting = np.minimum((anywhere // THEMES) * THEMES + theme + 1, CATEGORIES)
        category = np.where(rng.random(rows) < _ON_THEME, fitting, anywhere)
        slot = _skewed(rng.random(rows), ADS // CATEGORIES) - 1
        return category + CATEGORIES * slot

    def _logits(self, drawn: _Draw) -> tuple[Float64, Float64]:
        """Logits without bias of a click, and of a purchase after a click."""
        category = category_of(drawn.ad)
        fits = (_theme_of(category) == self._theme_of_user(drawn.user)).astype(np.float64)
        rows = np.repeat(np.arange(len(drawn.ad)), np.diff(drawn.offsets))
        same = _theme_of(category_of(drawn.past)) == _theme_of(category)[rows]
        likeness = np.bincount(rows, same, len(drawn.ad)) / np.maximum(np.diff(drawn.offsets), 5)
        appeal = normal(category, self.seed, 11)
        spending = _level(drawn.user, "shopping_level")
        click = 1.2 * fits + 2.0 * likeness + 0.8 * appeal + 0.4 * drawn.placement
        buy = (
            1.0 * likeness
            + 0.7 * fits
            + 0.6 * spending
            - 0.5 * np.log(_price(drawn.ad))
            + 0.8 * normal(category, self.seed, 12)
        )
        return click, buy

    def _theme_of_user(self, user: Int64) -> Int64:
        """By age and gender for most users, by whim for the others."""
        group = 2 * _level(user, "age_level") + _level(user, "final_gender_code")
        common = pick(group, THEMES, self.seed, 21)
        return np.where(uniform(user, self.seed, 22) < 0.7, common, pick(user, THEMES, self.seed, 23))

    def _user_columns(self, user: Int64) -> dict[str, pa.Array]:
        columns = {"user_id": pa.array(user)}
        for name, (_, missing) in _LEVELS.items():
            columns[name] = pa.array(_level(user, name), mask=uniform(user, 31, _key(name)) < missing)
        theme = self._theme_of_user(user)
        liked = [np.minimum(THEMES * pick(user, 40, 41, i) + theme + 1, CATEGORIES) for i in range(_FAVOURITES)]
        columns["tag_category_list"] = _joined(liked)
        columns["tag_brand_list"] = _joined([brand_of(category) for category in liked])
        return columns


# Values a level takes (counted from the first number) and the share of users for whom it is not known.
_LEVELS = {
    "cms_segid": (97, 0.0),
    "cms_group_id": (13, 0.0),
    "final_gender_code": (2, 0.0),
    "age_level": (7, 0.0),
    "pvalue_level": (3, 0.54),
    "shopping_level": (3, 0.0),
    "occupation": (2, 0.0),
    "new_user_class_level": (4, 0.32),
}
_FROM_ONE = {"final_gender_code", "pvalue_level", "shopping_level", "new_user_class_level"}


def category_of(ad: Int64) -> Int64:
    """Category of an ad, 1 to CATEGORIES."""
    return (ad - 1) % CATEGORIES + 1


def brand_of(ad: Int64) -> Int64:
    """Brand of an ad, 1 to BRANDS; few brands share a category."""
    return (category_of(ad) * 36 + pick(ad, 30, 3)) % BRANDS + 1


def _theme_of(category: Int64) -> Int64:
    return (category - 1) % THEMES


def _price(ad: Int64) -> Float64:
    return np.round(np.maximum(np.exp(4.5 + 1.1 * normal(ad, 4)), 0.01), 2).astype(np.float64)


def _key(name: str) -> int:
    return list(_LEVELS).index(name)


def _level(user: Int64, name: str) -> Int64:
    return pick(user, _LEVELS[name][0], 32, _key(name)) + (name in _FROM_ONE)


def _skewed(random: Float64, count: int) -> Int64:
    """Ids 1 to count, the first the most frequent: a tenth of the ids has more than half of the rows."""
    return np.minimum(np.floor(count * random**4) + 1, count).astype(np.int64)


def _ad_columns(ad: Int64) -> dict[str, pa.Array]:
    return {
        "adgroup_id": pa.array(ad),
        "cate_id": pa.array(category_of(ad)),
        "campaign_id": pa.array(pick(ad, CAMPAIGNS, 5) + 1),
        "customer": pa.array(pick(ad // 4, CUSTOMERS, 6) + 1),
        "brand": pa.array(brand_of(ad)),
        "price": pa.array(_price(ad)),
    }


def _history_columns(drawn: _Draw) -> dict[str, pa.Array]:
    values = {"adgroup_id": drawn.past, "cate_id": category_of(drawn.past), "brand": brand_of(drawn.past)}
    offsets = pa.array(drawn.offsets)
    return {f"click_50_seq__{k}": pa.ListArray.from_arrays(offsets, pa.array(v)) for k, v in values.items()}


def _joined(columns: list[Int64]) -> pa.Array:
    """Numbers of several columns as one `|`-separated string a row."""
    texts = [pa.array(column).cast(pa.string()) for column in columns]
    return pc.binary_join_element_wise(*texts, "|")
