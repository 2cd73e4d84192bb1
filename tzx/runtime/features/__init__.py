"""Floor 3: feature generation, Arrow in and arrays out. Never imports torch."""

from tzx.runtime.features.arrays import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.feature_set import FeatureSet
from tzx.runtime.features.settings import FeatureSettings

__all__ = [
    "DenseData",
    "Feature",
    "FeatureData",
    "FeatureSet",
    "FeatureSettings",
    "SequenceDenseData",
    "SequenceSparseData",
    "SparseData",
]
