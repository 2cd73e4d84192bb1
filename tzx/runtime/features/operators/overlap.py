"""OverlapFeature: how far the words of a query and of a title agree."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
    """Words of queries and titles; equal words of a slot have equal numbers. What is not asked for is not computed."""

    query: Ragged
    title: Ragged

    @cached_property
    def _hashed(self) -> tuple[words.Words, words.Words]:
        return words.hashed(self.query.values), words.hashed(self.title.values)

    @cached_property
    def _found(self) -> Int64:
        """Number of the equal title word for every query word, -1 for none."""
        from tzx.runtime.features.kernels import matching

        query, title = self._hashed
        slots = np.arange(len(self.query.lengths), dtype=np.int64)
        return matching.find_in_slots(title, self.title.lengths, query, self.query.lengths, slots)

    @cached_property
    def _query_numbers(self) -> Int64:
        from tzx.runtime.features.kernels import matching

        return matching.number_words(self._hashed[0], self.query.lengths)

    @cached_property
    def _title_numbers(self) -> Int64:
        from tzx.runtime.features.kernels import matching

        return matching.number_words(self._hashed[1], self.title.lengths)

    def common(self) -> Int64:
        """Distinct words that are in both, per slot."""
        from tzx.runtime.features.kernels import matching

        return matching.count_common(self._found, self._query_numbers, self.query.lengths)

    def of_query(self) -> Int64:
        """Distinct words of the query, per slot."""
        from tzx.runtime.features.kernels import matching

        return matching.count_distinct(self._query_numbers, self.query.lengths)

    def of_title(self) -> Int64:
        """Distinct words of the title, per slot."""
        from tzx.runtime.features.kernels import matching

        return matching.count_distinct(self._title_numbers, self.title.lengths)

    def first_run(self) -> Int64:
        """Where the whole query stands in the title, word after word; -1 for nowhere."""
        from tzx.runtime.features.kernels import matching

        return matching.first_run(self._found, self._title_numbers, self.query.lengths, self.title.lengths)

    def proximity(self, what: int) -> Float64:
        """Shortest cover (0) and least, largest and mean distance (1, 2, 3) of the query's words in the title."""
        from tzx.runtime.features.kernels.proximity import proximity

        lengths = self.query.lengths, self.title.lengths
        return proximity(self._found, self._query_numbers, self._title_numbers, *lengths)[what].astype(np.float64)


def _query_ratio(compared: Compared) -> Float64:
    return compared.common() / np.maximum(compared.of_query(), 1)


def _title_ratio(compared: Compared) -> Float64:
    return compared.common() / np.maximum(compared.of_title(), 1)


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
    "proximity_min_cover": lambda compared: compared.proximity(0),
    "proximity_min_dist": lambda compared: compared.proximity(1),
    "proximity_max_dist": lambda compared: compared.proximity(2),
    "proximity_avg_dist": lambda compared: compared.proximity(3),
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
        numbers = METHODS[self.method](Compared(query, title))[there]
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
