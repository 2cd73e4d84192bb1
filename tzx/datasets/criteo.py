"""Rows in the public layout of the Criteo display advertising data: a label, 13 counts and 26 categories.

* Categories follow Zipf's law over the cardinalities of the public data; values are 8 hex digits, as in the public
  files. "hashed" rows hold what the feature engine makes of the raw ones: MurmurHash64A modulo the table's rows.
* The label's logit is planted: a weight for each frequent category, products of pairs of categories (a factorisation
  machine, so a linear model cannot reach it), and the logarithms of the counts.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tzx.datasets.hashing import mix, murmur_of_8_bytes
from tzx.datasets.layouts import Chunk
from tzx.datasets.planted import bias_for_rate, draw, sigmoid

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

COUNTS = 13
# Distinct values of the 26 categories in the public data (Criteo Display Advertising Challenge, 2014).
CARDINALITIES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
LARGEST_TABLE = 1_000_000
SMALLEST_TABLE = 1_000
# Rows of the embedding table of each category: room against collisions, bounded to fit a small machine.
TABLE_ROWS = tuple(min(max(4 * n, SMALLEST_TABLE), LARGEST_TABLE) for n in CARDINALITIES)
CLICK_RATE = 0.256

_MISSING = (0.45, 0.0, 0.21, 0.21, 0.03, 0.22, 0.04, 0.0, 0.04, 0.45, 0.04, 0.76, 0.21)
_FACTORS = 4
_KNOWN_VALUES = 10_000  # rarer values carry no signal: nobody could learn it
_FIRST, _PAIRS, _COUNTS = 0.95, 1.15, 0.6  # standard deviations of the three parts of the logit
_CALIBRATION_CHUNK = 2**31
_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)


@dataclass
class Criteo:
    """Generator of rows; the same seed and chunk give the same rows.

    Args:
        seed: of everything.
        hashed: ids and finished numbers for fg_mode FG_NONE instead of raw strings and counts.
    """

    seed: int
    hashed: bool = False
    labels: tuple[str, ...] = ("label",)
    _tables: list[Float64] = field(init=False, repr=False)
    _slopes: Float64 = field(init=False, repr=False)
    _scales: Float64 = field(init=False, repr=False)
    _bias: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 1])
        self._tables = [_effects(rng, cardinality) for cardinality in CARDINALITIES]
        self._slopes = rng.normal(size=COUNTS)
        parts = self._parts(*self._draw(np.random.default_rng([self.seed, _CALIBRATION_CHUNK]), 1 << 15))
        self._scales = np.array([_FIRST, _PAIRS, _COUNTS]) / parts.std(axis=1)
        self._bias = bias_for_rate(self._scales @ parts, CLICK_RATE)

    @property
    def schema(self) -> pa.Schema:
        """Columns of a chunk."""
        count, category = (pa.float32(), pa.int64()) if self.hashed else (pa.int64(), pa.string())
        counts = [pa.field(f"int_{i}", count) for i in range(COUNTS)]
        categories = [pa.field(f"cat_{i}", category) for i in range(len(CARDINALITIES))]
        return pa.schema([pa.field("label", pa.int64()), *counts, *categories])

    def chunk(self, index: int, rows: int) -> Chunk:
        """The rows of chunk `index` with the probability of their label."""
        rng = np.random.default_rng([self.seed, 2, index])
        values, logarithms, missing = self._draw(rng, rows)
        probability = sigmoid(self._scales @ self._parts(values, logarithms, missing) + self._bias)
        label = draw(probability, rng)
        counts = [self._count(x, gone) for x, gone in zip(logarithms, missing, strict=True)]
        categories = [self._category(i, v) for i, v in enumerate(values)]
        table = pa.table([pa.array(label), *counts, *categories], schema=self.schema)
        return Chunk(table, {"label": probability})

    def _draw(self, rng: np.random.Generator, rows: int) -> tuple[list[Int64], Float64, npt.NDArray[np.bool_]]:
        """Category ranks [26][rows], logarithms of the counts [13, rows], and which of them are missing."""
        values = [_zipf(rng.random(rows), cardinality) for cardinality in CARDINALITIES]
        logarithms = rng.normal(1.5, 1.2, (COUNTS, rows))
        return values, logarithms, rng.random((COUNTS, rows)) < np.array(_MISSING)[:, None]

    def _parts(self, values: list[Int64], logarithms: Float64, missing: npt.NDArray[np.bool_]) -> Float64:
        """The three parts of the logit, unscaled, [3, rows]."""
        first = np.zeros(logarithms.shape[1])
        total = np.zeros((logarithms.shape[1], _FACTORS))
        squares = np.zeros_like(total)
        for table, ranks in zip(self._tables, values, strict=True):
            effect = table[np.minimum(ranks, len(table) - 1)]
            first += effect[:, 0]
            total += effect[:, 1:]
            squares += effect[:, 1:] ** 2
        pairs = (total**2 - squares).sum(axis=1) / 2
        counts = self._slopes @ np.where(missing, 0.0, logarithms)
        return np.stack([first, pairs, counts])

    def _count(self, logarithm: Float64, missing: npt.NDArray[np.bool_]) -> pa.Array:
        counts = np.floor(np.exp(logarithm)).astype(np.int64)
        if not self.hashed:
            return pa.array(counts, mask=missing)
        finished = np.where(counts > 1, np.log10(np.maximum(counts, 1)), 0.0)
        return pa.array(np.where(missing, 0.0, finished).astype(np.float32))

    def _category(self, column: int, ranks: Int64) -> pa.Array:
        words = _hex_words(mix(ranks, column))
        if self.hashed:
            hashes = murmur_of_8_bytes(words.view(np.uint64).reshape(-1))
            return pa.array((hashes % np.uint64(TABLE_ROWS[column])).astype(np.int64))
        offsets = np.arange(0, 8 * len(ranks) + 1, 8, dtype=np.int32)
        return pa.StringArray.from_buffers(len(ranks), pa.py_buffer(offsets), pa.py_buffer(words))


def _zipf(uniform: Float64, cardinality: int) -> Int64:
    """Ranks with probability falling as 1 / rank."""
    return np.minimum(np.floor((cardinality + 1.0) ** uniform) - 1, cardinality - 1).astype(np.int64)


def _effects(rng: np.random.Generator, cardinality: int) -> Float64:
    """Weight and factors of each value, [values + 1, 1 + _FACTORS]; the last row stands for all rare values."""
    known = min(cardinality, _KNOWN_VALUES)
    strength = 1.0 / np.sqrt(1.0 + np.arange(known) / 200.0)
    effects = rng.normal(size=(known, 1 + _FACTORS)) * strength[:, None]
    return np.vstack([effects, np.zeros(1 + _FACTORS)])


def _hex_words(scrambled: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """Eight lower-case hex digits of the low 32 bits of each number, as 4 two-digit words, [rows, 4]."""
    return np.ascontiguousarray(_HEX[scrambled.astype(np.uint32).view(np.uint8).reshape(-1, 4)])
