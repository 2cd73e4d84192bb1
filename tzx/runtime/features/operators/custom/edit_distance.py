"""EditDistance: the fewest characters to insert, delete or change to make one text of the other (Levenshtein 1966)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.declared import Declared, Input
from tzx.runtime.features.normalizers import Normalizer, parse_normalizer
from tzx.runtime.features.numbers import to_strings
from tzx.runtime.features.operators.base import normalized
from tzx.runtime.features.operators.custom.shared import align_elements, check_single, parameters, whole_text
from tzx.runtime.features.ragged import Ragged, bad_slot, take_slots
from tzx.runtime.features.reading import Layout

# The time grows with the product of both lengths: this many take a tenth of a second a row.
MAX_CHARACTERS = 10_000
UTF8, BYTES = ("utf-8", "utf8"), ("latin", "latin1", "latin-1")


@dataclass(frozen=True)
class EditDistanceOperator:
    """One whole number per slot; a slot where either text is missing is missing."""

    layouts: tuple[Layout, ...]
    utf8: bool
    is_sequence: bool
    normalizer: Normalizer | None

    def __call__(self, inputs: Sequence[Ragged]) -> Ragged:
        """Distances."""
        from tzx.runtime.features.kernels import distance

        left, right = align_elements(inputs, self.is_sequence)
        check_single(left, "EditDistance")
        check_single(right, "EditDistance")
        there = (left.lengths > 0) & (right.lengths > 0)
        slots = np.flatnonzero(there)
        a, b = (to_strings(take_slots(side, slots).values) for side in (left, right))
        numbers, bad = distance.edit_distances(
            (a.data, a.starts, a.ends), (b.data, b.starts, b.ends), self.utf8, MAX_CHARACTERS
        )
        if bad >= 0:
            side = left if a.ends[bad] - a.starts[bad] > b.ends[bad] - b.starts[bad] else right
            raise bad_slot(side, int(slots[bad]), f"a text of more than {MAX_CHARACTERS} characters; shorten it first")
        made = replace(left, values=numbers, lengths=there.astype(np.int32), weights=None)
        return normalized(made, self.normalizer)


def make(declared: Declared, inputs: Sequence[Input]) -> EditDistanceOperator:
    """Operator of a CustomFeature with operator_name EditDistance."""
    if len(inputs) != 2:
        raise ConfigError(f"EditDistance compares two inputs, {len(inputs)} given")
    encoding = str(parameters(declared).get("encoding", UTF8[0])).lower()
    if encoding not in UTF8 + BYTES:
        raise ConfigError(f"operator_params: encoding is {encoding!r}; allowed are utf-8 and latin")
    return EditDistanceOperator(
        layouts=(whole_text(declared),) * 2,
        utf8=encoding in UTF8,
        is_sequence=declared.is_sequence,
        normalizer=parse_normalizer(declared.config.normalizer),
    )
