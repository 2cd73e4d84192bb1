"""The stages of one feature over one batch, for those who explain features or count what happens in them.

Stages are made when asked for, so that a feature whose ids cannot be made still shows its values.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from tzx.runtime.features import kinds
from tzx.runtime.features.arrays import Int32, Int64
from tzx.runtime.features.bucketizers import Boundaries, Bucketizer, Identity, Words
from tzx.runtime.features.declared import Input
from tzx.runtime.features.defaults import encoded_default
from tzx.runtime.features.feature import Feature
from tzx.runtime.features.node import Node
from tzx.runtime.features.numbers import to_float32, to_ints, to_strings
from tzx.runtime.features.outputs import SparseOutput
from tzx.runtime.features.ragged import Bool, Ragged, Values
from tzx.runtime.features.source import Source
from tzx.runtime.features.tolerance import Tolerated, tolerate

# Kinds whose values are those of their input, fewer at most.
PLAIN = ("id_feature", "raw_feature")


class Traced:
    """One feature, stage by stage. Every stage raises a DataError that names feature, column and row."""

    def __init__(self, node: Node, source: Source) -> None:
        self._node, self._source = node, source

    @property
    def feature(self) -> Feature:
        """What the config says of it."""
        return self._node.feature

    @property
    def stub(self) -> bool:
        """Whether it is made for other features only."""
        return self._node.stub

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it reads."""
        return self._node.inputs

    @property
    def bucketizer(self) -> Bucketizer | None:
        """What makes ids of its values."""
        output = self._node.output
        return output.bucketizer if isinstance(output, SparseOutput) else None

    @property
    def has_default(self) -> bool:
        """Whether a missing slot gets a value."""
        return len(self._node.output.default) > 0

    @property
    def default_text(self) -> str:
        """What takes the place of a missing value, as the config writes it."""
        if self._node.operator is None and (encoded := encoded_default(self.feature)) is not None:
            return encoded
        return kinds.default_value(self.feature.config, self.feature.is_sequence)

    @cached_property
    def _tolerated(self) -> Tolerated | None:
        """All stages at once, where bad values are taken as missing."""
        if not self._source.tolerant:
            return None
        with self.naming():
            return tolerate(self._node, self._source)

    @property
    def bad_slots(self) -> int:
        """Rows or elements with a bad value that was taken as missing."""
        return self._tolerated.count if self._tolerated else 0

    @cached_property
    def read(self) -> Sequence[Ragged]:
        """What the inputs hold."""
        if self._tolerated:
            return self._tolerated.inputs
        with self.naming():
            return self._node.read(self._source)

    @cached_property
    def values(self) -> Ragged:
        """Values before defaults and bucketizing."""
        if self._tolerated:
            return self._tolerated.values
        inputs = list(self.read)
        with self.naming():
            return self._node.values(inputs)

    @cached_property
    def result(self) -> Ragged:
        """Ids or numbers, defaults filled in."""
        if self._tolerated:
            return self._tolerated.made
        values = self.values
        with self.naming():
            return self._node.output(values)

    @cached_property
    def elements_before_cut(self) -> Int32 | None:
        """Elements of every row in the data, [B]; None when the feature reads no sequence column."""
        for entry, layout in zip(self.inputs, self._node.layouts, strict=True):
            if layout.delimiter is not None and entry.column:
                whole = replace(layout, max_elements=None, fill_rows=False)
                with self.naming():
                    return self._source.read(entry, whole, False).seq_lengths
        return None

    @cached_property
    def values_cut(self) -> Int32 | None:
        """Values of every slot beyond value_dim, which are left out, [S]; None when the kind has no such cut."""
        if self.feature.kind not in PLAIN or self._node.operator is None:
            return None
        return self.read[0].lengths - self.values.lengths

    def raw(self, entry: Input) -> pa.Array:
        """The input's column as it lies in the data."""
        with self.naming():
            return self._source.column(entry.column)

    def naming(self) -> AbstractContextManager[None]:
        """Turns what stages and checks of their values raise into an error that names the feature."""
        return self._source.naming(self.feature.name, self.feature.inputs)


def unknown(bucketizer: Bucketizer | None, values: Values) -> Bool | None:
    """Which values are not in the vocabulary, [N]; None without one."""
    return ~bucketizer.vocabulary.knows(to_strings(values)) if isinstance(bucketizer, Words) else None


def out_of_range(bucketizer: Bucketizer | None, ragged: Ragged) -> Bool | None:
    """Which values are no rows of the table, [N]; None where every value has one.

    Raises:
        BadValue: a value is no integer.
    """
    if not isinstance(bucketizer, Identity) or not bucketizer.rows:
        return None
    return to_ints(ragged).view(np.uint64) >= np.uint64(bucketizer.rows)


def outer_buckets(bucketizer: Bucketizer | None, ragged: Ragged) -> tuple[Bool, Bool] | None:
    """Which values lie below the first boundary, and which at or above the last; None without boundaries.

    Raises:
        BadValue: a value is no number.
    """
    if not isinstance(bucketizer, Boundaries) or not len(bucketizer.edges):
        return None
    numbers = to_float32(ragged)
    return numbers < bucketizer.edges[0], numbers >= bucketizer.edges[-1]


def slots_per_row(ragged: Ragged) -> Int64:
    """Slots of every row, [B]."""
    if ragged.seq_lengths is None:
        return np.ones(len(ragged.lengths), np.int64)
    return ragged.seq_lengths.astype(np.int64)
