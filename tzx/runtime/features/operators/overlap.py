"""OverlapFeature: how far the words of a query and of a title agree."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tzx.runtime.errors import ConfigError
from tzx.runtime.features import words
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.operators.base import layout_of, normalized
from tzx.runtime.features.ragged import Ragged, align
from tzx.runtime.features.reading import Layout

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """Words of queries and titles, numbered so that equal words of a slot have equal numbers."""

    query: Ragged
    title: Ragged
    found: Int64
    query_numbers: Int64
    title_numbers: Int64

    @staticmethod
    def of(query: Ragged, title: Ragged) -> "Compared":
        """Compare two inputs slot by slot."""
        from tzx.runtime.features.kernels import matching

        q, t = words.hashed(query.values), words.hashed(title.values)
        slots = np.arange(len(query.lengths), dtype=np.int64)
        found = matching.find_in_slots(t, title.lengths, q, query.lengths, slots)
        of_query = matching.number_words(q, query.lengths)
        return Compared(query, title, found, of_query, matching.number_words(t, title.lengths))

    def counts(self) -> tuple[Int64, Int64, Int64]:
        """Distinct words of the query, of the title and of both, per slot."""
        from tzx.runtime.features.kernels import matching

        lengths = self.query.lengths, self.title.lengths
        return matching.count_common(self.found, self.query_numbers, self.title_numbers, *lengths)

    def first_run(self) -> Int64:
        """Where the whole query stands in the title, word after word; -1 for nowhere."""
        from tzx.runtime.features.kernels import matching

        return matching.first_run(self.found, self.title_numbers, self.query.lengths, self.title.lengths)


def _query_ratio(compared: Compared) -> Float64:
    of_query, _, common = compared.counts()
    return common / np.maximum(of_query, 1)


def _title_ratio(compared: Compared) -> Float64:
    _, of_title, common = compared.counts()
    return common / np.maximum(of_title, 1)


def _is_contain(compared: Compared) -> Float64:
    return (compared.first_run() >= 0).astype(np.float64)


def _is_equal(compared: Compared) -> Float64:
    whole = compared.query.lengths == compared.title.lengths
    return ((compared.first_run() == 0) & whole).astype(np.float64)


def _index_of(compared: Compared) -> Float64:
    return compared.first_run().astype(np.float64)


METHODS: dict[str, Callable[[Compared], Float64]] = {
    "query_common_ratio": _query_ratio,
    "title_common_ratio": _title_ratio,
    "is_contain": _is_contain,
    "is_equal": _is_equal,
    "index_of": _index_of,
}


@dataclass(frozen=True)
class OverlapOperator:
    """One number per slot; a slot whose query or title is missing is missing."""

    layouts: tuple[Layout, ...]
    method: str
    is_sequence: bool
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Agreement of query and title."""
        query, title = align(inputs, self.is_sequence)
        there = (query.lengths > 0) & (title.lengths > 0)
        numbers = METHODS[self.method](Compared.of(query, title))[there]
        made = replace(query, values=numbers, lengths=there.astype(np.int32))
        return normalized(made, self.normalizer)


def make(declared: Declared, inputs: Sequence[Input]) -> OverlapOperator:
    """Operator of an OverlapFeature."""
    config = declared.config
    if config.method not in METHODS:
        near = difflib.get_close_matches(config.method, METHODS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"method is {config.method!r}; available are {', '.join(METHODS)}{hint}")
    layouts = (layout_of(declared, drop_empty=True),) * 2
    return OverlapOperator(layouts, config.method, declared.is_sequence, parse_normalizer(config.normalizer))
