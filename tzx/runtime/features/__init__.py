"""Floor 3: feature generation, Arrow in and arrays out. Never imports torch."""

from tzx.runtime.features.arrays import DenseData, FeatureData, SequenceDenseData, SequenceSparseData, SparseData
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.feature_set import FeatureSet
from tzx.runtime.features.operators.custom.user import CustomOperator, register_operator
from tzx.runtime.features.settings import FeatureSettings

__all__ = [
    "CustomOperator",
    "DenseData",
    "Feature",
    "FeatureData",
    "FeatureSet",
    "FeatureSettings",
    "SequenceDenseData",
    "SequenceSparseData",
    "SparseData",
    "register_operator",
]
