"""What a generator of rows offers to the code that writes them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class Chunk:
    """Rows and, for every label, the probability each row's label was drawn with, float64 [rows]."""

    table: pa.Table
    probabilities: dict[str, npt.NDArray[np.float64]]


class Layout(Protocol):
    """A seeded generator: the same index and number of rows give the same rows, whatever was asked before."""

    labels: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """Columns of every chunk."""

    def chunk(self, index: int, rows: int) -> Chunk:
        """The rows of chunk `index`."""
