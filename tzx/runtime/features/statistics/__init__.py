"""What a data set holds, feature by feature, in bounded memory; parts of it can be merged.

A sketch is exact for few distinct values and approximate beyond. Never imports torch.
"""

from tzx.runtime.features.statistics.data_set import DataStatistics
from tzx.runtime.features.statistics.one_feature import FeatureStatistics

__all__ = ["DataStatistics", "FeatureStatistics"]
