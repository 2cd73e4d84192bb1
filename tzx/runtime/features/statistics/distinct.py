"""How many distinct values there are: the K smallest hashes tell (Bar-Yossef et al. 2002, "Counting Distinct Elements
in a Data Stream"; the estimator (K - 1) / k-th smallest is that of Beyer et al. 2007).

Exact below K values; then the standard error is 1 / sqrt(K - 2), 2.2 % here.
"""

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tzx.runtime.features.arrays import Int64

KEPT = 2048
RANGE = 2.0**63


@dataclass
class Distinct:
    """The smallest hashes seen, sorted and distinct."""

    hashes: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, hashes: Int64) -> None:
        """Count values by their hashes [N] in [0, 2^63), uniform and without duplicates or with."""
        if not self.exact:
            hashes = hashes[hashes < self.hashes[-1]]
        self.hashes = np.union1d(self.hashes, hashes)[:KEPT]

    def merge(self, other: "Distinct") -> None:
        """Count what another has seen."""
        self.add(other.hashes)

    @property
    def exact(self) -> bool:
        """Whether the estimate is the number itself."""
        return len(self.hashes) < KEPT

    @property
    def estimate(self) -> int:
        """Number of distinct values."""
        if self.exact:
            return len(self.hashes)
        return round((KEPT - 1) / (float(self.hashes[-1]) + 1) * RANGE)

    def to_json(self) -> dict[str, Any]:
        """Stored form."""
        return {"hashes": base64.b64encode(self.hashes.astype("<i8").tobytes()).decode()}

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Distinct":
        """Read the stored form."""
        raw = base64.b64decode(record["hashes"], validate=True)
        return Distinct(np.frombuffer(raw, "<i8").astype(np.int64))
