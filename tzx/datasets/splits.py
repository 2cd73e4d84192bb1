"""Dividing rows into train, valid and test parts."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
PARTS = ("train", "valid", "test")
TRAIN_SHARE, VALID_SHARE = 0.8, 0.1


def random_split(rows: int, seed: int) -> dict[str, Rows]:
    """Row numbers of each part of a seeded random 80/10/10 split."""
    order = np.random.default_rng(seed).permutation(rows)
    first, second = round(rows * TRAIN_SHARE), round(rows * (TRAIN_SHARE + VALID_SHARE))
    return dict(zip(PARTS, (order[:first], order[first:second], order[second:]), strict=True))


def time_split(timestamps: Rows, seed: int) -> dict[str, Rows]:
    """Row numbers of each part when the oldest 80% train and the newest 10% test.

    Rows of one instant never fall into two parts. Valid and test rows stay in the order of time; train rows come in a
    seeded random order, because a model that reads them as they happened sees one user's session after the other.
    """
    order = np.argsort(timestamps, kind="stable")
    first = _cut(timestamps[order], TRAIN_SHARE)
    second = _cut(timestamps[order], TRAIN_SHARE + VALID_SHARE)
    train = np.random.default_rng(seed).permutation(order[:first])
    return dict(zip(PARTS, (train, order[first:second], order[second:]), strict=True))


def _cut(sorted_timestamps: Rows, share: float) -> int:
    """Number of rows before the instant at which `share` of the rows have passed."""
    if len(sorted_timestamps) == 0:
        return 0
    at = min(round(len(sorted_timestamps) * share), len(sorted_timestamps) - 1)
    return int(np.searchsorted(sorted_timestamps, sorted_timestamps[at], side="left"))
