import numpy as np
import pyarrow.compute as pc
import pytest
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tzx.datasets.criteo import CARDINALITIES, CLICK_RATE, COUNTS, TABLE_ROWS, Criteo

ROWS = 30_000


@pytest.fixture(scope="module")
def raw():
    return Criteo(3).chunk(0, ROWS)


@pytest.fixture(scope="module")
def hashed():
    return Criteo(3, hashed=True).chunk(0, ROWS)


def test_layout(raw, hashed):
    names = ["label", *(f"int_{i}" for i in range(13)), *(f"cat_{i}" for i in range(26))]
    assert raw.table.column_names == hashed.table.column_names == names
    assert raw.table.schema == Criteo(3).schema and hashed.table.schema == Criteo(3, hashed=True).schema
    for i, cardinality in enumerate(CARDINALITIES):
        column = raw.table[f"cat_{i}"]
        assert pc.count_distinct(column).as_py() <= cardinality
        assert pc.all(pc.match_substring_regex(column, "^[0-9a-f]{8}$")).as_py()
        ids = hashed.table[f"cat_{i}"].to_numpy()
        assert ids.min() >= 0 and ids.max() < TABLE_ROWS[i]
    counts = [raw.table[f"int_{i}"] for i in range(COUNTS)]
    assert any(column.null_count for column in counts)
    assert all(pc.min(column).as_py() >= 0 for column in counts)


def test_a_seed_and_a_chunk_decide_the_rows(raw):
    generator = Criteo(3)
    generator.chunk(5, 10)
    assert generator.chunk(0, ROWS).table.equals(raw.table)
    assert not generator.chunk(1, ROWS).table.equals(raw.table)
    assert not Criteo(4).chunk(0, ROWS).table.equals(raw.table)


def test_hashed_rows_are_the_raw_rows(raw, hashed):
    assert raw.table["label"].equals(hashed.table["label"])
    counts = raw.table["int_0"].to_pylist()
    expected = [np.log10(c) if c is not None and c > 1 else 0.0 for c in counts]
    assert np.allclose(hashed.table["int_0"].to_numpy(), expected, atol=1e-6)
    pairs = set(zip(raw.table["cat_8"].to_pylist(), hashed.table["cat_8"].to_pylist(), strict=True))
    assert len(pairs) == len({text for text, _ in pairs}) == 3


def test_label_is_drawn_from_the_planted_probability(raw):
    label, truth = raw.table["label"].to_numpy(), raw.probabilities["label"]
    assert label.mean() == pytest.approx(CLICK_RATE, abs=0.015)
    assert truth.mean() == pytest.approx(label.mean(), abs=0.01)
    for low in (0.1, 0.5):
        bucket = (truth > low) & (truth < low + 0.2)
        assert label[bucket].mean() == pytest.approx(truth[bucket].mean(), abs=0.03)


def test_the_signal_can_be_learned_and_is_more_than_linear(hashed):
    """Logistic regression on the frequent categories finds much of the signal, but not the products of categories."""
    matrix = _one_hot(hashed.table)
    label, truth = hashed.table["label"].to_numpy(), hashed.probabilities["label"]
    half = ROWS // 2
    model = LogisticRegression(C=0.1, max_iter=60).fit(matrix[:half], label[:half])
    linear = roc_auc_score(label[half:], model.predict_proba(matrix[half:])[:, 1])
    best = roc_auc_score(label[half:], truth[half:])
    assert 0.62 < linear < best - 0.05
    assert 0.80 < best < 0.87


def _one_hot(table) -> csr_matrix:
    numbers = np.stack([table[f"int_{i}"].to_numpy() for i in range(COUNTS)], axis=1)
    offsets = np.cumsum([0, *TABLE_ROWS[:-1]])
    ids = np.stack([table[f"cat_{i}"].to_numpy() + offsets[i] for i in range(26)], axis=1)
    _, compact = np.unique(ids, return_inverse=True)
    categories = csr_matrix((np.ones(ids.size), compact.ravel(), np.arange(0, ids.size + 1, 26)))
    return hstack([csr_matrix(numbers), categories]).tocsr()
