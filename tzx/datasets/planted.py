"""Labels drawn from a known probability, so that a generated data set tells how good a model can get on it."""

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def sigmoid(logits: Float64) -> Float64:
    """Probability of a logit."""
    return 1.0 / (1.0 + np.exp(-logits))


def draw(probabilities: Float64, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """One 0/1 label for every probability."""
    return (rng.random(len(probabilities)) < probabilities).astype(np.int64)


def bias_for_rate(logits: Float64, rate: float) -> float:
    """What to add to logits so that their mean probability is `rate`."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if sigmoid(logits + middle).mean() > rate else (middle, high)
    return (low + high) / 2


class ScoreHistogram:
    """Area under the ROC curve of scores in [0, 1], of any number of rows in fixed memory."""

    def __init__(self, bins: int = 20_000) -> None:
        self._counts = np.zeros((2, bins))

    def add(self, scores: Float64, labels: npt.NDArray[np.int64]) -> None:
        """Count a chunk of rows."""
        bins = self._counts.shape[1]
        at = np.minimum((scores * bins).astype(np.int64), bins - 1)
        for label in (0, 1):
            self._counts[label] += np.bincount(at[labels == label], minlength=bins)

    @property
    def rows(self) -> int:
        """Rows counted so far."""
        return int(self._counts.sum())

    @property
    def rate(self) -> float:
        """Share of rows with label 1."""
        return float(self._counts[1].sum() / max(self.rows, 1))

    @property
    def auc(self) -> float:
        """Share of (positive, negative) pairs in the right order, ties counting half; nan without both classes."""
        negatives, positives = self._counts
        below = np.cumsum(negatives) - negatives
        pairs = negatives.sum() * positives.sum()
        return float((positives * (below + negatives / 2)).sum() / pairs) if pairs else float("nan")
