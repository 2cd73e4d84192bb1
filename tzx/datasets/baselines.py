"""Scores that know next to nothing, for a model to beat: a constant, popularity, and rates counted in training."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Rows of the overall rate that every id starts with, so that an id seen once is not believed too much.
PRIOR_ROWS = 10.0


@dataclass(frozen=True)
class Baseline:
    """Area under the ROC curve of one way to score test rows."""

    name: str
    auc: float


def roc_auc(scores: Float64, labels: Int64) -> float:
    """Share of (positive, negative) pairs in the right order, ties counting half; nan without both classes."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right")
    ranks = np.empty(len(scores))
    ranks[order] = (first + last + 1) / 2
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def baselines(train: pa.Table, test: pa.Table, label: str, item: str, user: str) -> list[Baseline]:
    """Scores of the test rows from counts over the training rows.

    Args:
        train: rows to count.
        test: rows to score.
        label: 0/1 column.
        item: int64 column whose popularity and label rate are counted.
        user: int64 column whose label rate is counted.
    """
    labels = test[label].to_numpy()
    rate = train[label].to_numpy().mean()
    seen, liked = _counts(train, label, item, test)
    of_item = _rate(seen, liked, rate)
    of_user = _rate(*_counts(train, label, user, test), rate)
    scores = {
        "constant": np.full(len(labels), rate),
        f"popularity (rows of the {item} in training)": seen,
        f"{label} rate of the {item}": of_item,
        f"{label} rate of the {user}": of_user,
        f"{label} rates of {user} and {item}, logits added": _logit(of_item) + _logit(of_user),
    }
    return [Baseline(name, roc_auc(score, labels)) for name, score in scores.items()]


def _counts(train: pa.Table, label: str, key: str, test: pa.Table) -> tuple[Float64, Float64]:
    """For every test row the training rows of its key, and how many of them are positive."""
    keys, wanted = train[key].to_numpy(), test[key].to_numpy()
    size = int(max(keys.max(initial=0), wanted.max(initial=0))) + 1
    seen = np.bincount(keys, minlength=size).astype(np.float64)
    positive = np.bincount(keys, train[label].to_numpy(), minlength=size)
    return seen[wanted], positive[wanted]


def _rate(seen: Float64, positive: Float64, prior: float) -> Float64:
    return (positive + PRIOR_ROWS * prior) / (seen + PRIOR_ROWS)


def _logit(rate: Float64) -> Float64:
    clipped = np.clip(rate, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))
