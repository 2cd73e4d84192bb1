"""Statistics as one page that needs nothing from anywhere: no scripts, no fonts, no pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tzx.runtime.features.statistics.charts import histogram, number_text
from tzx.runtime.features.statistics.data_set import DataStatistics
from tzx.runtime.features.statistics.numbers import QUANTILES, Numbers
from tzx.runtime.features.statistics.one_feature import FeatureStatistics

OPEN_UP_TO = 12  # features whose details are open from the start
SHOWN_VALUES = 12
RARE = 0.01  # numbers that hardly ever repeat have no frequent values worth a list
LOW_COVERAGE, HIGH_UNKNOWN, HIGH_CLIPPED = 0.5, 0.05, 0.2


@dataclass(frozen=True)
class Card:
    """One feature as the page shows it."""

    name: str
    anchor: str
    about: str
    coverage: float
    distinct: str
    shape: Markup
    facts: list[tuple[str, str]]
    missing_inputs: list[tuple[str, str]]
    values: list[tuple[str, str, float]]
    charts: list[tuple[str, Markup, list[tuple[str, str]]]]
    findings: list[str]


def render(statistics: DataStatistics) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=PackageLoader("tzx.runtime.features.statistics", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = share_text
    cards = [_card(at, name, one) for at, (name, one) in enumerate(statistics.features.items())]
    return environment.get_template("page.html.j2").render(
        source=statistics.source,
        rows=f"{statistics.rows:,}",
        cards=cards,
        found=[card for card in cards if card.findings],
        is_open=len(cards) <= OPEN_UP_TO,
    )


def share_text(share: float | None) -> str:
    """A share in percent; what is not quite none or all does not look like it."""
    if share is None:
        return "-"
    if 0 < share < 0.0001:
        return "< 0.01%"
    if 0.9999 < share < 1:
        return "> 99.99%"
    return "0%" if share == 0 else "100%" if share == 1 else f"{share:.2%}"


def findings(one: FeatureStatistics) -> Iterator[str]:
    """What a person should look at."""
    known = one.summary()
    rows = one.counters["rows"]
    if rows and known["coverage"] < LOW_COVERAGE:
        yield f"missing in {share_text(1 - known['coverage'])} of the rows" if known["coverage"] else "always missing"
    if rows > 1 and known["distinct"] == 1:
        yield "always the same value"
    if (known["out_of_vocabulary_share"] or 0) > HIGH_UNKNOWN:
        yield f"{share_text(known['out_of_vocabulary_share'])} of the values are not in the vocabulary"
    if known["out_of_range_share"]:
        yield f"{share_text(known['out_of_range_share'])} of the ids lie beyond the table; training ends at them"
    if (known["clipped_share"] or 0) > HIGH_CLIPPED:
        yield f"cut off in {share_text(known['clipped_share'])} of the rows"
    if one.bucketizer.startswith("hash") and known["distinct"] > one.table_rows / 2:
        yield f"{known['distinct']:,} distinct values share a table of {one.table_rows:,} rows"
    if known["bad_value_share"]:
        yield f"{share_text(known['bad_value_share'])} are bad values, taken as missing"
    if one.numbers is not None and one.numbers.nan + one.numbers.infinite:
        yield f"{one.numbers.nan:,} NaN and {one.numbers.infinite:,} infinite numbers"


def _card(at: int, name: str, one: FeatureStatistics) -> Card:
    known = one.summary()
    kind = one.type.removesuffix("_feature") + (" sequence" if one.is_sequence else "")
    values = one.counters["values"]
    shown = [
        (item["value"] or "(empty)", item["count"] / values) for item in known["top"][:SHOWN_VALUES] if item["count"]
    ]
    if one.numbers is not None and shown and shown[0][1] < RARE:
        shown = []
    most = shown[0][1] if shown else 1.0
    return Card(
        name=name,
        anchor=f"f{at}",
        about=f"{kind}, {one.bucketizer}",
        coverage=known["coverage"] or 0.0,
        distinct=("" if known["distinct_exact"] else "~ ") + f"{known['distinct']:,}",
        shape=_shape(one, 120, 22),
        facts=list(_facts(one, known)),
        missing_inputs=[
            (text, share_text(count / one.counters["rows"])) for text, count in one.missing_inputs.items() if count
        ],
        values=[(text, share_text(share), share / most) for text, share in shown],
        charts=list(_charts(one)),
        findings=list(findings(one)),
    )


def _shape(one: FeatureStatistics, width: int, height: int) -> Markup:
    """The small chart of the overview: numbers, else the most frequent values, by falling count."""
    if one.numbers is not None:
        return histogram(one.numbers, width, height)
    ranks = Numbers()
    counts = [count for _, count, _ in one.frequent.top(40)]
    for rank, count in enumerate(counts[:24], 1):
        ranks.merge(Numbers.of(float(rank), count))
    return histogram(ranks, width, height)


def _facts(one: FeatureStatistics, known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "rows with a value", share_text(known["coverage"])
    if known["default_share"]:
        yield ("elements" if one.is_sequence else "rows") + " that get the default", share_text(known["default_share"])
    for label, key in (
        ("values not in the vocabulary", "out_of_vocabulary_share"),
        ("ids beyond the table", "out_of_range_share"),
        ("below the first boundary", "below_first_boundary_share"),
        ("at or above the last boundary", "above_last_boundary_share"),
    ):
        if known[key] is not None:
            yield label, share_text(known[key])
    if known["bad_value_share"]:
        yield "bad values, taken as missing", share_text(known["bad_value_share"])
    if known["clipped_share"]:
        yield "rows that are cut off", share_text(known["clipped_share"])
    yield "values", f"{one.counters['values']:,}"
    yield "distinct values", ("" if known["distinct_exact"] else "about ") + f"{known['distinct']:,}"
    if one.is_sparse and one.table_rows:
        yield "rows of the table", f"{one.table_rows:,}"


def _charts(one: FeatureStatistics) -> Iterator[tuple[str, Markup, list[tuple[str, str]]]]:
    if one.numbers is not None and one.numbers.count:
        yield "Numbers", histogram(one.numbers, 420, 120), _measures(one.numbers)
    if one.lengths.count and (one.is_sequence or one.lengths.high > 1):
        title = "Elements per row" if one.is_sequence else "Values per row"
        yield title, histogram(one.lengths, 420, 90), _measures(one.lengths)
    if one.weights is not None and one.weights.count:
        yield "Weights", histogram(one.weights, 420, 90), _measures(one.weights)


def _measures(numbers: Numbers) -> list[tuple[str, str]]:
    names = {0.0: "min", 0.5: "median", 1.0: "max"}
    measures = [(names.get(q, f"{q * 100:g}%"), number_text(numbers.quantile(q))) for q in QUANTILES]
    return [*measures, ("mean", number_text(numbers.mean)), ("std", number_text(numbers.deviation))]
