import numpy as np
import pyarrow.compute as pc
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tzx.datasets import taobao
from tzx.datasets.taobao import Taobao, brand_of, category_of

ROWS = 30_000


@pytest.fixture(scope="module")
def chunk():
    return Taobao(2).chunk(0, ROWS)


def test_ids_stay_within_the_public_numbers(chunk):
    largest = {
        "user_id": taobao.USERS, "adgroup_id": taobao.ADS, "cate_id": taobao.CATEGORIES, "brand": taobao.BRANDS,
        "campaign_id": taobao.CAMPAIGNS, "customer": taobao.CUSTOMERS, "final_gender_code": 2, "age_level": 6,
        "pvalue_level": 3, "shopping_level": 3, "occupation": 1, "new_user_class_level": 4, "cms_segid": 96,
        "cms_group_id": 12, "click_50_seq__adgroup_id": taobao.ADS, "click_50_seq__cate_id": taobao.CATEGORIES,
        "click_50_seq__brand": taobao.BRANDS,
    }  # fmt: skip
    smallest_is_zero = {"age_level", "occupation", "cms_segid", "cms_group_id"}
    for name, most in largest.items():
        column = chunk.table[name]
        values = pc.list_flatten(column) if name.startswith("click") else column
        assert pc.min(values).as_py() >= (name not in smallest_is_zero), name
        assert pc.max(values).as_py() <= most, name
    assert pc.max(pc.list_value_length(chunk.table["click_50_seq__adgroup_id"])).as_py() == taobao.HISTORY_LENGTH


def test_attributes_belong_to_their_ids(chunk):
    table = chunk.table
    ad = table["adgroup_id"].to_numpy()
    assert np.array_equal(table["cate_id"].to_numpy(), category_of(ad))
    assert np.array_equal(table["brand"].to_numpy(), brand_of(ad))
    past = pc.list_flatten(table["click_50_seq__adgroup_id"]).to_numpy()
    assert np.array_equal(pc.list_flatten(table["click_50_seq__cate_id"]).to_numpy(), category_of(past))
    names = ("age_level", "final_gender_code", "shopping_level", "tag_category_list", "pvalue_level")
    seen: dict = {}
    for user, *attributes in zip(*(table[n].to_pylist() for n in ("user_id", *names)), strict=True):
        assert seen.setdefault(user, attributes) == attributes


def test_a_seed_and_a_chunk_decide_the_rows(chunk):
    assert Taobao(2).chunk(0, ROWS).table.equals(chunk.table)
    assert not Taobao(2).chunk(1, ROWS).table.equals(chunk.table)
    assert not Taobao(3).chunk(0, ROWS).table.equals(chunk.table)


def test_longer_histories_keep_the_columns(chunk):
    long = Taobao(2, history_length=100).chunk(0, 2_000).table
    assert long.schema == chunk.table.schema
    assert 90 < pc.max(pc.list_value_length(long["click_50_seq__adgroup_id"])).as_py() <= 100


def test_label_rates(chunk):
    clk, buy = (chunk.table[name].to_numpy() for name in ("clk", "buy"))
    assert clk.mean() == pytest.approx(taobao.CLICK_RATE, abs=0.01)
    assert buy[clk == 1].mean() == pytest.approx(taobao.PURCHASE_RATE, abs=0.03)
    assert not buy[clk == 0].any()
    assert chunk.probabilities["clk"].mean() == pytest.approx(clk.mean(), abs=0.005)
    assert chunk.probabilities["buy"].mean() == pytest.approx(buy.mean(), abs=0.005)


def test_the_history_tells_what_will_be_clicked(chunk):
    """A model that sees no id, only how often the ad's theme occurs in the history, ranks well above chance."""
    table, clk = chunk.table, chunk.table["clk"].to_numpy()
    offsets = table["click_50_seq__cate_id"].combine_chunks().offsets.to_numpy()
    rows = np.repeat(np.arange(ROWS), np.diff(offsets))
    theme = (table["cate_id"].to_numpy() - 1) % taobao.THEMES
    past = (pc.list_flatten(table["click_50_seq__cate_id"]).to_numpy() - 1) % taobao.THEMES
    share = np.bincount(rows, past == theme[rows], ROWS) / np.maximum(np.diff(offsets), 1)
    features = np.stack([share, np.log(table["price"].to_numpy())], axis=1)
    half = ROWS // 2
    model = LogisticRegression().fit(features[:half], clk[:half])
    found = roc_auc_score(clk[half:], model.predict_proba(features[half:])[:, 1])
    best = roc_auc_score(clk, chunk.probabilities["clk"])
    assert 0.65 < found < best - 0.02
    assert 0.75 < best < 0.85
