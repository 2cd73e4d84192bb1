import numpy as np
import pyarrow as pa
import pytest

from tzx.datasets.baselines import PRIOR_ROWS, baselines


def _table(rows: list[tuple[int, int, int]]) -> pa.Table:
    users, items, labels = zip(*rows, strict=True)
    return pa.table({"user": users, "item": items, "label": labels})


def test_scores_come_from_training_counts_alone():
    # Item 1 is seen most, item 2 is liked most, item 9 is unknown.
    train = _table([(1, 1, 0), (2, 1, 0), (3, 1, 1), (1, 2, 1), (2, 2, 1)])
    test = _table([(7, 1, 0), (7, 2, 1), (7, 9, 1)])
    found = {b.name: b.auc for b in baselines(train, test, "label", "item", "user")}
    assert found["constant"] == 0.5
    assert found["popularity (rows of the item in training)"] == 0.0
    # Rates: item 1 (1 + 10 * .6) / 13, item 2 (2 + 6) / 12, item 9 the overall .6: positives above the negative.
    assert found["label rate of the item"] == 1.0
    assert found["label rate of the user"] == 0.5
    assert pytest.approx(7 / 13) == (1 + PRIOR_ROWS * 0.6) / (3 + PRIOR_ROWS)


def test_additive_rates_recover_an_additive_truth():
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 40, 20_000), rng.integers(0, 40, 20_000)
    taste, appeal = rng.normal(size=40), rng.normal(size=40)
    label = (rng.random(20_000) < 1 / (1 + np.exp(-taste[user] - appeal[item]))).astype(np.int64)
    table = pa.table({"user": user, "item": item, "label": label})
    found = {b.name: b.auc for b in baselines(table[:10_000], table[10_000:], "label", "item", "user")}
    both = found["label rates of user and item, logits added"]
    assert both > 0.75
    assert both > found["label rate of the item"] + 0.04 > 0.65
