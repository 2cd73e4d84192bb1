"""Statistics of all features of a data set, and the file they are kept in."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import tzx
from tzx.runtime.errors import DataError, UserError
from tzx.runtime.features.feature_set import FeatureSet
from tzx.runtime.features.statistics.one_feature import FeatureStatistics
from tzx.runtime.features.tracing import Traced

SCHEMA = "tzx.feature_statistics"
VERSION = 1


@dataclass
class DataStatistics:
    """Statistics by feature, in config order, of `rows` rows."""

    rows: int = 0
    features: dict[str, FeatureStatistics] = field(default_factory=dict)
    source: str = ""

    @staticmethod
    def of(features: FeatureSet, source: str = "") -> "DataStatistics":
        """Statistics of no rows; `source` says which data they will be of."""
        return DataStatistics(0, {f.name: FeatureStatistics.of(f) for f in features.features}, source)

    def wanted(self, traced: Iterable[Traced]) -> list[tuple[FeatureStatistics, Traced]]:
        """What to add to what; features made for others only are left out."""
        return [(self.features[one.feature.name], one) for one in traced if not one.stub]

    def merge(self, other: "DataStatistics") -> None:
        """Count what another has seen of the same features.

        Raises:
            UserError: the features differ.
        """
        different = sorted(set(self.features) ^ set(other.features))
        if different:
            raise UserError(f"statistics of different features cannot be merged: {', '.join(different[:10])}")
        for name, statistics in other.features.items():
            self.features[name].merge(statistics)
        self.rows += other.rows

    def to_json(self) -> dict[str, Any]:
        """Stored form."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "tzx_version": tzx.__version__,
            "source": self.source,
            "rows": self.rows,
            "features": {name: one.to_json() for name, one in self.features.items()},
        }

    @staticmethod
    def from_json(record: Any, name: str = "statistics") -> "DataStatistics":
        """Read the stored form; `name` is for messages.

        Raises:
            DataError: it is none, or of another version.
        """
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise DataError(f"{name}: this is no {SCHEMA} file")
        if record.get("version") != VERSION:
            raise DataError(f"{name}: its version is {record.get('version')}; this program reads version {VERSION}")
        try:
            features = {key: FeatureStatistics.from_json(one) for key, one in record["features"].items()}
            return DataStatistics(record["rows"], features, record["source"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{name}: the file is damaged ({type(error).__name__}: {error})") from None

    def dumps(self) -> str:
        """The file's text; NaN and infinity do not occur."""
        return json.dumps(self.to_json(), allow_nan=False, ensure_ascii=False)
