"""One batch of input while its features are made: columns read once, masks, and outputs other features read."""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tzx.runtime.errors import DataError
from tzx.runtime.features.arrays import Int64
from tzx.runtime.features.declared import CONSTANT, FROM_FEATURE, Input
from tzx.runtime.features.ragged import BadValue, Ragged
from tzx.runtime.features.reading import Layout, WrongType, read

SAMPLE_MASK = "__SAMPLE_MASK__"
ORIGIN_KEY = b"tzx.origin"
READABLE = "readable are text, numbers, and lists or maps of them"


class Source:
    """Columns of a record batch, read as features ask for them."""

    def __init__(self, record_batch: pa.RecordBatch, is_training: bool, tolerant: bool = False) -> None:
        self.tolerant = tolerant
        self.refused: dict[tuple[Input, Layout, bool], tuple[BadValue, int]] = {}
        self.batch = record_batch
        self.places = {name: at for at, name in enumerate(record_batch.schema.names)}
        self.made: dict[str, Ragged] = {}
        self.cache: dict[tuple[Input, Layout, bool], Ragged] = {}
        masked = is_training and SAMPLE_MASK in self.places
        self.mask = record_batch.column(self.places[SAMPLE_MASK]) if masked else None

    def read(self, entry: Input, layout: Layout, masked: bool) -> Ragged:
        """Values of one input."""
        if entry.side == FROM_FEATURE:
            if entry.name not in self.made:
                raise BadValue(f"feature:{entry.name}", None, "the feature that is read here could not be made")
            return self.made[entry.name]
        key = (entry, layout, masked)
        found = self.cache.get(key)
        if found is None:
            found = self.cache[key] = self._read(entry, layout, masked)
        return found

    def _read(self, entry: Input, layout: Layout, masked: bool) -> Ragged:
        """Read a column; when tolerant, without the slots that cannot be read."""
        skip: Int64 | None = None
        while True:
            try:
                return self._read_without(skip, entry, layout, masked)
            except BadValue as error:
                found = error.slots() if self.tolerant else None
                after = found if skip is None or found is None else np.union1d(skip, found)
                if after is None or len(after) == (0 if skip is None else len(skip)):
                    raise
                first, _ = self.refused.get((entry, layout, masked), (error, 0))
                self.refused[entry, layout, masked] = first, len(after)
                skip = after

    def _read_without(self, skip: Int64 | None, entry: Input, layout: Layout, masked: bool) -> Ragged:
        if entry.side == CONSTANT:
            return read(pa.repeat(pa.scalar(entry.name), self.batch.num_rows), layout, f"const:{entry.name}")
        array = self.column(entry.column)
        if masked and self.mask is not None:
            array = pc.if_else(self.mask, pa.scalar(None, array.type), array)
        return read(array, layout, entry.column, skip)

    def find(self, name: str) -> pa.Array | None:
        """A column by name; None where there is no such column."""
        at = self.places.get(name)
        return None if at is None else self.batch.column(at)

    def column(self, name: str) -> pa.Array:
        """A column by name."""
        if name not in self.places:
            raise BadValue(name, None, f"there is no such column{near_columns(name, self.batch.schema.names)}")
        return self.batch.column(self.places[name])

    def is_map(self, name: str) -> bool:
        """Whether a column holds maps."""
        return name in self.places and pt.is_map(self.batch.schema.field(self.places[name]).type)

    @contextmanager
    def naming(self, feature: str, columns: Sequence[str]) -> Iterator[None]:
        """Turn what stages raise into the error a user sees."""
        try:
            yield
        except BadValue as error:
            raise self.failure(feature, error) from None
        except (WrongType, pa.ArrowException) as error:
            raise self.wrong_type(feature, columns, error) from None

    def failure(self, feature: str, error: BadValue) -> DataError:
        """The error a user sees: feature, column, row and where the row came from."""
        place = f"feature {feature!r}, column {error.column!r}"
        if error.row is not None:
            place += f", row {error.row}{self._origin(error.row)}"
        return DataError(f"{place}: {error.problem}")

    def wrong_type(self, feature: str, columns: Sequence[str], error: Exception) -> DataError:
        """The error for a column that cannot be read as a whole."""
        names = " or ".join(repr(name) for name in columns)
        if not isinstance(error, WrongType):
            return DataError(f"feature {feature!r}, column {names} cannot be read: {error}; {READABLE}")
        return DataError(f"feature {feature!r}, column {names}: its type is {error}; {READABLE}")

    def _origin(self, row: int) -> str:
        text = (self.batch.schema.metadata or {}).get(ORIGIN_KEY, b"").decode("utf-8", "replace")
        numbered = re.fullmatch(r"(.*\brow )(\d+)", text, re.DOTALL)
        if numbered:
            return f" ({numbered[1]}{int(numbered[2]) + row})"
        return f" of the batch from {text}" if text else " of the batch"


def near_columns(name: str, names: Sequence[str]) -> str:
    """A hint at the column that was meant."""
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
