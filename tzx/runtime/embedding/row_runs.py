"""What lookups and updates of rows work on: neighbouring tables, and the ids of a batch."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Run:
    """Neighbouring tables of one width: views of their weights and states, and where their features lie."""

    weight: Tensor  # [rows of all its tables, D]
    states: tuple[Tensor, ...]
    features: slice
    first_rows: Tensor  # row of `weight` at which the feature's table begins
    last_ids: Tensor  # largest id that the feature's table has

    @property
    def dim(self) -> int:
        """Width of its tables."""
        return self.weight.shape[1]

    @property
    def width(self) -> int:
        """Width of the rows of all its features, side by side."""
        return self.dim * (self.features.stop - self.features.start)


class Ids(NamedTuple):
    """Ids [N], feature by feature, in bags delimited by offsets [F * B + 1], and the factor of each id."""

    values: Tensor
    offsets: Tensor
    weights: Tensor | None
    batch: int  # B

    def bounds(self, run: Run) -> Tensor:
        """Where the bags of the run's features begin."""
        return self.offsets[run.features.start * self.batch : run.features.stop * self.batch + 1]
