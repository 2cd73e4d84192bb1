"""Statistics of features against counts by plain Python, and the page made of them."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from tzx.runtime.errors import DataError, UserError
from tzx.runtime.features.statistics import DataStatistics
from tzx.runtime.features.statistics.page import render

CONFIGS = [
    'id_feature { feature_name: "word" expression: "user:word" separator: "|" vocab_list: ["a", "b"] value_dim: 2 }',
    'id_feature { feature_name: "id" expression: "user:id" num_buckets: 10 default_value: "0" }',
    'raw_feature { feature_name: "x" expression: "item:x" boundaries: [0, 1] }',
    'raw_feature { feature_name: "dense" expression: "item:x" default_value: "5" }',
    'raw_feature { feature_name: "hidden" expression: "item:x" stub_type: true }',
    'combo_feature { feature_name: "pair" expression: ["user:word", "user:id"] hash_bucket_size: 4 }',
    'sequence_id_feature { feature_name: "seq" expression: "user:seq" sequence_length: 3 hash_bucket_size: 99 }',
    'id_feature { feature_name: "w" expression: "user:w" weighted: true hash_bucket_size: 99 }',
]
ROWS = {
    "word": ["a|c", "", None, "b", "a|b|d"],
    "id": [3, 3, None, 12, -1],
    "x": [-1.0, 0.5, None, 1.0, 2.0],
    "seq": ["p;q", "", None, "p;;p;p;p", "q"],
    "w": ["u:0.5|v:2".replace("|", "\x1d"), "u", "", None, "v:3"],
}


def count(features, *batches) -> DataStatistics:
    statistics = DataStatistics.of(features, "here")
    for batch in batches:
        for mine, traced in statistics.wanted(features.trace(batch)):
            mine.add(traced)
        statistics.rows += batch.num_rows
    return statistics


@pytest.fixture(name="features")
def _features(make_features):
    return make_features("FG_DAG", *CONFIGS)


@pytest.fixture(name="statistics")
def _statistics(features):
    return count(features, pa.record_batch(ROWS))


def test_words(statistics):
    one = statistics.features["word"]
    known = one.summary()
    assert known["coverage"] == 3 / 5
    assert known["default_share"] == 0, "it has no default"
    assert known["out_of_vocabulary_share"] == 1 / 5, "of a c b a b, which value_dim leaves"
    assert known["clipped_share"] == 1 / 5
    assert (known["distinct"], known["distinct_exact"]) == (3, True)
    assert {item["value"]: item["count"] for item in known["top"]} == {"a": 2, "b": 2, "c": 1}
    assert known["lengths"]["quantiles"]["1"] == 3, "before the cut"
    assert one.missing_inputs == {"user:word": 2}
    assert known["out_of_range_share"] is None and known["numbers"] is None


def test_ids_beyond_the_table_are_counted(statistics):
    known = statistics.features["id"].summary()
    assert known["out_of_range_share"] == 2 / 4
    assert known["default_share"] == 1 / 5


def test_numbers_and_boundaries(statistics):
    known = statistics.features["x"].summary()
    assert known["below_first_boundary_share"] == 1 / 4
    assert known["above_last_boundary_share"] == 2 / 4
    assert known["numbers"]["mean"] == pytest.approx(np.mean([-1, 0.5, 1, 2]))
    dense = statistics.features["dense"].summary()
    assert dense["numbers"]["count"] == 4, "the default is no value"
    assert dense["default_share"] == 1 / 5


def test_features_of_several_inputs_tell_which_is_missing(statistics):
    one = statistics.features["pair"]
    assert one.missing_inputs == {"user:word": 2, "user:id": 1}
    assert one.summary()["coverage"] == 3 / 5


def test_sequences(statistics):
    one = statistics.features["seq"]
    known = one.summary()
    assert known["coverage"] == 3 / 5
    assert known["clipped_share"] == 1 / 5
    # p q | default | default | p default p | q
    assert (one.counters["slots"], one.counters["defaulted_slots"], one.counters["values"]) == (8, 3, 5)
    assert known["lengths"]["mean"] == (2 + 0 + 0 + 5 + 1) / 5


def test_weights(statistics):
    known = statistics.features["w"].summary()
    assert known["weights"]["mean"] == pytest.approx((0.5 + 2 + 1 + 3) / 4)
    assert {item["value"]: item["count"] for item in known["top"]} == {"u": 2, "v": 2}


def test_stubs_are_left_out(statistics):
    assert "hidden" not in statistics.features


def test_parts_through_files_are_the_whole(features, statistics):
    batch = pa.record_batch(ROWS)
    part, other = count(features, batch.slice(0, 2)), count(features, batch.slice(2), batch.slice(0, 0))
    part.merge(DataStatistics.from_json(json.loads(other.dumps())))
    whole, merged = json.loads(statistics.dumps()), json.loads(part.dumps())
    assert merged["rows"] == 5
    for name, expected in whole["features"].items():
        for group in ("summary", "counters", "missing_inputs"):
            assert _close(merged["features"][name][group], expected[group]), (name, group)


def _close(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    return a == pytest.approx(b) if isinstance(a, float) else a == b


def test_a_file_says_what_it_is(statistics):
    record = json.loads(statistics.dumps())
    assert (record["schema"], record["version"], record["source"]) == ("tzx.feature_statistics", 1, "here")
    assert DataStatistics.from_json(record).dumps() == statistics.dumps()
    with pytest.raises(DataError, match=r"x\.json: its version is 2; this program reads version 1"):
        DataStatistics.from_json(record | {"version": 2}, "x.json")
    with pytest.raises(DataError, match="this is no tzx"):
        DataStatistics.from_json([1], "x.json")
    del record["features"]["id"]["sketches"]
    with pytest.raises(DataError, match=r"damaged \(KeyError"):
        DataStatistics.from_json(record, "x.json")


def test_different_features_do_not_merge(statistics, make_features):
    other = count(make_features("FG_DAG", *CONFIGS[1:]), pa.record_batch(ROWS))
    with pytest.raises(UserError, match="cannot be merged: word"):
        statistics.merge(other)


def test_a_bad_value_names_its_row(make_features):
    features = make_features("FG_DAG", CONFIGS[1], CONFIGS[3])
    with pytest.raises(DataError, match=r"feature 'id', column 'id', row 2 of the batch: 'no' is not an integer"):
        count(features, pa.record_batch({"id": ["1", "2", "no"], "x": [1.0, 2.0, 3.0]}))


def test_bad_values_taken_as_missing_are_counted(make_features):
    features = make_features("FG_DAG", CONFIGS[1], CONFIGS[3])
    batch = pa.record_batch({"id": ["1", "no", "99", None], "x": ["1.5", "?", "2", "3"]})
    statistics = DataStatistics.of(features)
    for mine, traced in statistics.wanted(features.trace(batch, tolerant=True)):
        mine.add(traced)
    known = statistics.features["id"].summary()
    assert (known["bad_value_share"], known["coverage"], known["default_share"]) == (2 / 4, 1 / 4, 3 / 4)
    known = statistics.features["dense"].summary()
    assert (known["bad_value_share"], known["numbers"]["mean"]) == (1 / 4, 6.5 / 3)
    assert "50.00% are bad values, taken as missing" in render(statistics)


def test_encoded_columns(make_features):
    features = make_features("FG_NONE", 'id_feature { feature_name: "n" num_buckets: 3 fg_encoded_default_value: "1" }')
    known = count(features, pa.record_batch({"n": [[0, 1], [], [7]]})).features["n"].summary()
    assert (known["coverage"], known["default_share"]) == pytest.approx((2 / 3, 1 / 3))
    assert known["out_of_range_share"] == 1 / 3


# ---- the page


class Outline(HTMLParser):
    """Opened and closed tags, and attributes that name other places."""

    VOID = {"meta", "rect", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        known = dict(attrs)
        self.links += [known[name] for name in ("href", "src") if name in known]
        self.ids += [known["id"]] if "id" in known else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_needs_nothing_from_elsewhere(statistics):
    page = render(statistics)
    found = outline(page)
    assert "default-src 'none'" in page
    assert not {"script", "img", "link", "iframe", "style-src"} & set(found.tags)
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<details") == len(statistics.features)
    assert "50.00% of the ids lie beyond the table" in page


def test_data_cannot_write_into_the_page(make_features):
    evil = "</script><script>alert(1)</script><img src=x onerror=y>"
    features = make_features("FG_DAG", 'id_feature { feature_name: "v" expression: "user:v" hash_bucket_size: 9 }')
    statistics = count(features, pa.record_batch({"v": [evil, evil, "a&b"]}))
    statistics.source = evil
    page = render(statistics)
    assert not {"script", "img"} & set(outline(page).tags)
    assert "&lt;script&gt;" in page and "a&amp;b" in page


def test_no_rows_make_a_page_too(features):
    empty = pa.record_batch({name: pa.array(values)[:0] for name, values in ROWS.items()})
    statistics = count(features, empty)
    outline(render(statistics))
    assert statistics.features["x"].summary()["coverage"] is None
    assert DataStatistics.from_json(json.loads(statistics.dumps())).dumps() == statistics.dumps()
    assert re.search(r"0 rows, 7 features", render(statistics))
