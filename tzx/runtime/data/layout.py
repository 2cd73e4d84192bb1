"""Where each feature lies in a batch. Free of torch, so that loader workers start fast and stay small."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class FeatureShape(Protocol):
    """The part of a feature that decides where it lies in a batch."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def is_sequence(self) -> bool: ...  # noqa: D102
    @property
    def is_sparse(self) -> bool: ...  # noqa: D102
    @property
    def is_weighted(self) -> bool: ...  # noqa: D102
    @property
    def value_dim(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class BatchLayout:
    """Which features lie in which section of a batch, in config order."""

    dense: tuple[str, ...] = ()
    dense_dims: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()
    weighted_ids: tuple[str, ...] = ()
    sequence_ids: tuple[str, ...] = ()
    sequence_dense: tuple[str, ...] = ()

    @staticmethod
    def from_features(features: Iterable[FeatureShape]) -> "BatchLayout":
        """Sort features into sections."""
        features = list(features)
        dense = [f for f in features if not f.is_sparse and not f.is_sequence]
        sparse = [f for f in features if f.is_sparse and not f.is_sequence]
        return BatchLayout(
            dense=tuple(f.name for f in dense),
            dense_dims=tuple(f.value_dim for f in dense),
            ids=tuple(f.name for f in sparse if not f.is_weighted),
            weighted_ids=tuple(f.name for f in sparse if f.is_weighted),
            sequence_ids=tuple(f.name for f in features if f.is_sparse and f.is_sequence),
            sequence_dense=tuple(f.name for f in features if not f.is_sparse and f.is_sequence),
        )
